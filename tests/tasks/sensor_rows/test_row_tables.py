"""Tables of rows: CSV and Parquet give the same numbers, and every bad cell is named by file, line and column."""

from __future__ import annotations

import json
import re
import sys

import numpy as np
import pytest

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.splitting import SPLITS
from tfmo_drive.tasks.sensor_rows import row_files
from tfmo_drive.tasks.sensor_rows.row_tables import Columns, Table

HEADER = "speed,yaw,gear\n"
GEAR = Columns(target="gear")


@pytest.fixture
def write(tmp_path):
    """write(text) -> the path of a CSV file."""

    def make(text: str, name: str = "rows.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return make


def read(path, columns: Columns = GEAR, classes: bool = True):
    """(table, inputs, targets, groups, splits) of all chunks together."""
    table = Table(path, columns, classes)
    return table, *(np.concatenate(parts) for parts in zip(*table.chunks(), strict=True))


def refusal(path, columns: Columns = GEAR, classes: bool = True) -> str:
    with pytest.raises(BadInput) as refused:
        read(path, columns, classes)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_numbers_and_words_of_a_csv(write):
    path = write("\ufeffspeed;yaw ;gear\r\n1.5; -2e3;first\r\n\r\n 3;4;second\r\n5;6; first\r\n")
    table, inputs, targets, groups, splits = read(path)
    assert table.columns == ("speed", "yaw") and table.classes == ("first", "second")
    assert inputs.tolist() == [[1.5, -2000], [3, 4], [5, 6]] and targets.tolist() == [0, 1, 0]
    assert groups.tolist() == splits.tolist() == [-1, -1, -1]


def test_what_windows_saves_is_read_and_what_is_damaged_named_with_its_line(tmp_path, caplog):
    text = "h\u00f6he,b,gear\n" + "1,2,\u00e9t\u00e9\n3,4,b\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        path = tmp_path / f"{encoding}.csv"
        path.write_bytes(text.encode(encoding))
        table, inputs, *_ = read(path)
        assert table.columns == ("h\u00f6he", "b") and table.classes == ("\u00e9t\u00e9", "b"), encoding
        assert inputs.tolist() == [[1, 2], [3, 4]]
    assert caplog.text.count("line 1 holds the byte 0xf6, which is not UTF-8; it is read as Windows' code page") == 1
    path.write_bytes(text.encode() + b"5,6,\xe9\n")
    assert "line 4 holds the byte 0xe9, which is not UTF-8" in refusal(path)


def test_blocks_are_joined_without_a_seam(write, monkeypatch):
    monkeypatch.setattr(row_files, "_BLOCK_BYTES", 40)
    numbers = np.random.default_rng(0).normal(size=(50, 2)).round(3)
    path = write(HEADER + "".join(f"{a},{b},{i % 3}\n" for i, (a, b) in enumerate(numbers)))
    table = Table(path, GEAR, True)
    assert len(list(table.chunks())) > 10
    _, inputs, targets, *_ = read(path)
    assert np.array_equal(inputs, numbers) and targets.tolist() == [i % 3 for i in range(50)]


def test_a_number_is_read_as_it_stands(write):
    table, _, targets, *_ = read(write(HEADER + "1,2,0.125\n1,2,-7\n"), classes=False)
    assert targets.tolist() == [0.125, -7] and table.classes == ()


def test_splits_and_groups_are_words_and_no_inputs(write):
    text = "a,split,label,track,b\n1,Training,x,north,2\n3,valid,y,south,4\n5,test,x,north 2,6\n7,train,y,north,8\n"
    table, inputs, targets, groups, splits = read(write(text), Columns())
    assert table.columns == ("a", "b") and inputs.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8]]
    assert targets.tolist() == [0, 1, 0, 1] and groups.tolist() == [0, 1, 2, 0] and splits.tolist() == [0, 1, 2, 0]


def test_inputs_can_be_chosen_and_left_out(write):
    path = write("time,a,driver,b,target\n0.1,1,Ann Lee,2,9\n")
    assert read(path, Columns(ignore=("time", "driver")))[1].tolist() == [[1, 2]]
    assert read(path, Columns(inputs=("b", "a")))[1].tolist() == [[2, 1]]


def test_files_of_a_folder_are_groups_in_order(write, tmp_path):
    write(HEADER + "3,4,b\n", "2.csv"), write(HEADER + "1,2,a\n", "1.csv"), write("not rows", "notes.txt")
    table, inputs, targets, groups, _ = read(tmp_path)
    assert inputs.tolist() == [[1, 2], [3, 4]] and groups.tolist() == [0, 1] and table.classes == ("a", "b")
    write("speed,gear\n1,a\n", "3.csv")
    assert "3.csv has other columns than 1.csv" in refusal(tmp_path)


def test_files_called_as_splits_are_these(write, tmp_path):
    for number, name in enumerate(("test", "train", "valid")):
        write(f"{HEADER}{number},2,{number}\n", f"{name}.csv")
    table, _, targets, groups, splits = read(tmp_path)
    assert [SPLITS[split] for split in splits] == ["test", "train", "val"] and groups.tolist() == [-1] * 3
    assert table.grouped == "stretches of neighbouring rows"
    write(f"{HEADER}1,2,3\n", "more.csv")
    assert read(tmp_path)[4].tolist() == [-1] * 4


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_an_index_of_pandas_is_no_input(write, name, caplog):
    path = write(f"{name},speed,gear\n0,1.5,a\n1,2.5,b\n")
    assert read(path)[0].columns == ("speed",) and 'not read: "Unnamed: 0", an index of pandas' in caplog.text
    assert read(path, Columns(target="gear", inputs=("Unnamed: 0",)))[1].tolist() == [[0], [1]]


def test_decimal_commas_and_booleans_are_numbers(write, caplog):
    path = write('speed;brake;gear\n1;True;a,b\n-2,5;false;c\n"3,25e1";TRUE;c\n')
    table, inputs, *_ = read(path)
    assert inputs.tolist() == [[1, 1], [-2.5, 0], [32.5, 1]] and table.classes == ("a,b", "c")
    assert "1,5 is read as one and a half" in caplog.text
    assert "line 3, column \"speed\": '1.234,5' is no" in refusal(write("speed;gear\n1,5;a\n1.234,5;b\n"))


def test_all_columns_of_words_are_named_at_once(write):
    said = refusal(write("road,speed,weather,gear\ncity,1,rain,a\n"))
    assert said.endswith("--set=task.columns.ignore=road,weather.")


def test_the_key_follows_the_file_and_the_columns(write):
    path = write(HEADER + "1,2,3\n")
    keys = [Table(path, GEAR, True).key, Table(path, GEAR, False).key]
    keys += [Table(path, Columns(target="yaw"), True).key]
    write(HEADER + "1,2,33\n")
    keys += [Table(path, GEAR, True).key]
    assert len({str(key) for key in keys}) == 4


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1,fast,3", "line 4, column \"yaw\": 'fast' is no finite number. Mend the cell, drop its row, or leave"),
        ("1,nan,3", "line 4, column \"yaw\": 'nan' is no finite number"),
        ("1e39,2,3", "line 4, column \"speed\": '1e39' is no finite number"),
        ("1,,3", "line 4, column \"yaw\": '' is no finite number"),
        ("1,2, ", 'line 4, column "gear": the cell is empty. Fill it'),
        ("1,2,NaN", 'line 4, column "gear": the cell is "NaN". Fill it'),
        ('1,2,"up', "line 4 holds a quote that does not stand around a whole cell"),
        ("1,2", "line 4: 3 cells expected, as in the header, got 2"),
        ("1,5,2,3", "line 4: 3 cells expected, as in the header, got 4. Decimal commas"),
    ],
)
def test_a_bad_cell_is_named_by_file_line_and_column(write, line, words):
    path = write(f"{HEADER}1,2,3\n\n{line}\n5,6,7\n")
    text = refusal(path)
    assert text.startswith(str(path)) and words in text, text


def test_a_bad_cell_is_found_behind_the_first_block(write, monkeypatch):
    monkeypatch.setattr(row_files, "_BLOCK_BYTES", 60)
    assert "line 102, column" in refusal(write(HEADER + "1,2,3\n" * 100 + "1,x,3\n"))


def test_a_bad_number_to_predict_is_named(write):
    assert "column \"gear\": 'first' is no finite number" in refusal(write(HEADER + "1,2,first\n"), classes=False)


def test_quoted_cells_may_hold_the_delimiter(write):
    table, inputs, *_ = read(write(HEADER + '"1.5",2,"first, slow"\n3,4,"second"\n'))
    assert inputs.tolist() == [[1.5, 2], [3, 4]] and table.classes == ("first, slow", "second")


@pytest.mark.parametrize(
    ("text", "columns", "words"),
    [
        (HEADER + "1,2,3\n", Columns(target="gaer"), 'no column "gaer" for the target. Did you mean "gear"'),
        (HEADER + "1,2,3\n", Columns(), 'no column for the target; it has "speed", "yaw", "gear". Say which'),
        (HEADER + "1,2,3\n", Columns(target="gear", inputs=("spede",)), 'no column "spede". Did you mean "speed"'),
        (HEADER + "1,2,3\n", Columns(target="gear", inputs=("gear",)), '"gear" is the target'),
        (HEADER + "1,2,3\n", Columns(target="gear", ignore=("speed", "yaw")), "no column left to be an input"),
        ("a,target,split\n1,2,north\n", Columns(), 'column "split": there is no split "north"'),
        ("1,2,3\n4,5,6\n", Columns(), "the first line must name every column, each once"),
        ("a,a,target\n1,2,3\n", Columns(), "the first line must name every column, each once"),
        ("", Columns(), "the first line must name every column"),
    ],
)
def test_a_table_that_cannot_be_used_says_what_to_type(write, text, columns, words):
    assert words in refusal(write(text), columns)


def test_a_number_taken_for_a_class_is_told(write):
    text = refusal(write(HEADER + "".join(f"1,2,{i}.5\n" for i in range(1001))))
    assert "more than 1,000 values" in text and "--set=task.predicts=number" in text


def test_what_is_not_there_or_no_text_is_told(write, tmp_path):
    assert "No rows at" in refusal(tmp_path / "nowhere.csv")
    assert "No rows at" in refusal(write("a,b\n", "rows.txt"))
    (tmp_path / "binary.csv").write_bytes(b"a,target\n\x81\0,1\n")
    assert "is not a CSV file in UTF-8" in refusal(tmp_path / "binary.csv", Columns())


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    assert "needs pyarrow. pip install pyarrow" in refusal(tmp_path / "rows.parquet")


@pytest.fixture
def parquet(tmp_path):
    """parquet(column=values, ...) -> the path of a Parquet file; `kind` may be another that holds the same."""
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed here: Parquet is not tested")
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed here: Parquet is not tested")
    feather = pytest.importorskip("pyarrow.feather", reason="pyarrow is not installed here: Feather is not tested")

    def make(kind="parquet", **columns):
        table, path = pyarrow.table(columns), tmp_path / f"rows.{kind}"
        if kind == "parquet":
            parquet.write_table(table, path, row_group_size=7)
        elif kind == "feather":
            feather.write_feather(table, path, chunksize=7)
        else:
            path.write_text("".join(json.dumps(row) + "\n\n" for row in table.to_pylist()))
        return path

    return make


@pytest.mark.parametrize("kind", ["parquet", "feather", "jsonl", "json"])
def test_parquet_and_its_like_give_what_csv_gives(parquet, write, monkeypatch, kind):
    monkeypatch.setattr(row_files, "_BATCH_ROWS", 5)
    numbers = np.random.default_rng(0).normal(size=23).round(3)
    columns = {
        "a": numbers, "b": np.arange(23), "c": np.arange(23) % 2 == 0, "note": ["-"] * 23,
        "label": [f"class {i % 3}" for i in range(23)], "split": ["train", "val", "test"] * 7 + ["train"] * 2,
        "track": np.arange(23) % 4,
    }  # fmt: skip
    lines = [",".join(columns), *(",".join(str(int(c) if isinstance(c, np.bool_) else c) for c in row)
                                  for row in zip(*columns.values(), strict=True))]  # fmt: skip
    ours = read(parquet(kind, **columns), Columns(ignore=("note",)))
    theirs = read(write("\n".join(lines)), Columns(ignore=("note",)))
    assert ours[0].columns == theirs[0].columns == ("a", "b", "c") and ours[0].classes == theirs[0].classes
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "dictionary"])
def test_words_of_parquet_are_words_whatever_arrow_keeps_them_in(parquet, kind):
    arrow = pytest.importorskip("pyarrow")
    words = arrow.array(["x", "y", "x"])
    words = words.dictionary_encode() if kind == "dictionary" else words.cast(getattr(arrow, kind)())
    assert read(parquet(a=[1.0, 2.0, 3.0], target=words), Columns())[0].classes == ("x", "y")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"a": [1.0, None], "target": [1, 2]}, 'line 2, column "a": None is no finite number'),
        ({"a": [1.0, np.inf], "target": [1, 2]}, 'line 2, column "a": inf is no finite number'),
        ({"a": [1.0, 2.0], "target": ["x", None]}, 'line 2, column "target": None is empty'),
        ({"a": [1.0, 2.0], "target": [0.0, float("nan")]}, 'line 2, column "target": nan is empty'),
        ({"a": [1.0, 2.0], "target": ["x", " "]}, "line 2, column \"target\": ' ' is empty"),
        ({"a": ["fast", "slow"], "target": [1, 2]}, 'column "a": its values are string, not numbers'),
    ],
)
@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_a_bad_cell_of_parquet_is_named(parquet, columns, words, kind):
    text = refusal(parquet(kind, **columns), Columns())
    assert re.search(re.escape(words), text), text


@pytest.mark.parametrize(("line", "words"), [
    ('{"a": null, "target": 1}', 'line 3, column "a": None is no finite number'),
    ('{"a": NaN, "target": 1}', 'column "a": nan is no finite number'),
    ('{"a": 1e400, "target": 1}', 'column "a": inf is no finite number'),
    ('{"a": "1", "target": 1}', "column \"a\": '1' is no finite number"),
    ('{"target": 1}', 'column "a": None is no finite number'),
    ('{"a": 1}', 'line 3, column "target": None is no word'),
    ('{"a": 1, "target": [2]}', 'column "target": [2] is no word'),
    ('{"a": 1, "a": 2, "target": 1}', 'line 3: one of its objects has the key "a" twice'),
    ('[1, 2]', "line 3: a line is no object (pandas writes such with"),
    ('{"a": ', "is not JSON lines, an object a line: line 3: "),
])  # fmt: skip
def test_a_bad_line_of_json_is_named(write, line, words):
    text = refusal(write(f'{{"a": 1, "target": "x"}}\n\n{line}\n', "rows.jsonl"), Columns())
    assert words in text, text


def test_a_json_beside_a_table_is_none(write):
    path = write("a,target\n1,x\n2,y\n")
    write('["x", "y"]', "classes.json")
    assert read(path.parent, Columns())[0].classes == ("x", "y")


def test_what_is_no_parquet_is_told(parquet, tmp_path):
    (tmp_path / "rows.parquet").write_bytes(b"a,b\n1,2\n")
    assert "is not a whole Parquet file" in refusal(tmp_path / "rows.parquet")
    (tmp_path / "rows.feather").write_bytes(b"FEA1")
    assert "is not a whole Feather file of version 2" in refusal(tmp_path / "rows.feather")
    whole = parquet("feather", a=[1.0, 2.0], target=[0, 1]).read_bytes()
    (tmp_path / "rows.feather").write_bytes(b"A" + bytes(1) + whole[2:])
    assert "it does not begin with ARROW1" in refusal(tmp_path / "rows.feather")
