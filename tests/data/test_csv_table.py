"""CSV: one line is one row, whatever stands in it; a slip is named with its line and never swallows rows."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.csv_table import LONGEST, SEPARATORS, cells, read_table


def written(folder, text):
    (folder / "list.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / "list.csv"


@pytest.mark.parametrize("text", [
    "file,label\na.png,x\nb.png,y\n", "\ufefffile,label\r\na.png,x\r\nb.png,y", "file;label\ra.png;x\rb.png;y\r",
    "\n\nfile\tlabel\n\na.png\tx\n \t \nb.png\ty\n", ' file , "label"\n"a.png" , x\nb.png,"y" \n',
    "file,label\n,\na.png,x\nb.png,y\n", "sep=;\r\nfile;label\r\na.png;x\r\nb.png;y\r\n",
])  # fmt: skip
def test_a_table_is_read_whatever_its_separators_breaks_and_quotes(tmp_path, text):
    table = read_table(written(tmp_path, text))
    assert (table.header, table.rows) == (["file", "label"], [["a.png", "x"], ["b.png", "y"]])


def test_rows_keep_the_lines_where_they_stand(tmp_path):
    table = read_table(written(tmp_path, "\nfile,label\n\na.png,x\n\n\nb.png,y\n"))
    assert table.lines == [4, 7] and table.line(1) == f"{tmp_path}/list.csv, line 7"
    assert table.at([1]).lines == [7]


STRAY = "1 of 6 lines hold a quote that does not stand around a whole cell: line 5. Remove"


@pytest.mark.parametrize(("line", "said"), [
    ('a.png,"x', STRAY), ('a.png,x"', STRAY), ('a"b.png,x', STRAY), ('"a"b.png,x', STRAY), ('"a.png,x', STRAY),
    ('"a.png,x"', "2 columns expected"), ("a.png", "line 5: 2 columns expected, as in the first line, got 1"),
    ("a,b,c", "line 5: 2 columns .* got 3"), ("a.png,x\0", "line 5 holds a NUL"),
    (f"a.png,{'x' * (LONGEST + 1)}", "line 5: a cell has 131,073 characters"),
    (f'a.png,"{"x" * (LONGEST + 1)}"', "line 5: a cell has 131,073 characters"),
])  # fmt: skip
def test_a_slip_is_named_with_its_line(tmp_path, line, said):
    rows = ["file,label", "0.png,x", "1.png,x", "2.png,x", line, "4.png,x"]
    with pytest.raises(BadInput, match=said) as told:
        read_table(written(tmp_path, "\n".join(rows)))
    assert str(told.value).isprintable()


def test_two_stray_quotes_never_swallow_the_rows_between(tmp_path):
    rows = ["file,label", *(f"{n}.png,{n % 2}" for n in range(6000))]
    rows[1500], rows[4500] = rows[1500].replace(",", ',"'), rows[4500] + '"'
    with pytest.raises(BadInput, match="2 of 6,001 lines hold a quote .*: line 1501, line 4501"):
        read_table(written(tmp_path, "\n".join(rows)))


def test_what_windows_saves_is_read_and_what_is_damaged_named_with_its_line(tmp_path, caplog):
    text = "file,label\na.png,\u00e9t\u00e9\nb.png,\u2026\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        table = read_table(written(tmp_path, text.encode(encoding)))
        assert table.header == ["file", "label"] and table.column(1) == ["\u00e9t\u00e9", "\u2026"], encoding
    assert caplog.text.count("line 2 holds the byte 0xe9, which is not UTF-8; it is read as Windows' code page") == 1
    for damaged in (text.encode() + b"c.png,\xe9\n", b"file,label\na.png,x\nb.png,x\nc.png,\x81\n"):
        with pytest.raises(BadInput, match="line 4 holds the byte 0xe9, which is not UTF-8|is not a CSV file.*0x81"):
            read_table(written(tmp_path, damaged))


def test_a_first_line_of_data_gets_the_names_that_it_lacks(tmp_path):
    table = read_table(written(tmp_path, "a.png,0.5\nb.png,1\n"), unnamed=("file", "steering"))
    assert (table.header, table.rows, table.lines) == (["file", "steering"], [["a.png", "0.5"], ["b.png", "1"]], [1, 2])


@given(st.lists(st.text(st.characters(exclude_characters="\0\r\n", exclude_categories=("Cs",)), max_size=8), min_size=1,
                max_size=5), st.sampled_from(SEPARATORS))  # fmt: skip
def test_what_the_csv_module_writes_is_read_back(row, separator):
    stream = io.StringIO()
    csv.writer(stream, delimiter=separator, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow(row)
    assert cells("list.csv", 1, stream.getvalue(), separator) == [cell.strip() for cell in row]
