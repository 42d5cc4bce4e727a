"""What a class may be called: checked wherever data names its classes, before anything is trained."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import LONGEST, clean, label_ids, ordered, read_class_names, refuse_unfit
from tfmo_drive.data.layouts.boxes.coco_objects import read
from tfmo_drive.data.layouts.csv_listing import list_csv
from tfmo_drive.data.layouts.listing import list_folder
from tfmo_drive.data.layouts.masks.mask_listing import list_masks

NEVER = {
    "newline": "a\nb", "return": "a\rb", "tab": "a\tb", "vertical tab": "a\vb", "form feed": "a\fb", "nul": "a\0b",
    "escape": "a\x1b[31mb", "delete": "a\x7fb", "next line": "a\x85b", "line separator": "a\u2028b",
    "paragraph separator": "a\u2029b", "surrogate": "a\ud800b", "override": "a\u202eb", "isolate": "a\u2066b",
    "too long": "x" * (LONGEST + 1),
}  # fmt: skip
ALLOWED = ['say "stop"', "a\\n", "<script>alert(1)</script>", "??/", "*/ //", "a|b", "`x`", "été", "停", "𝒳", "a'b",
           "%s", "{x}", "a, b", "-1", "a b", "#", "&amp;", "x" * LONGEST]  # fmt: skip


def _in_txt(folder, names):
    (folder / "classes.txt").write_bytes("\n".join(names).encode("utf-8", "surrogatepass"))
    return lambda: read_class_names(folder / "classes.txt")


def _in_json(folder, names):
    (folder / "classes.json").write_text(json.dumps(names))
    return lambda: read_class_names(folder / "classes.json")


def _in_coco(folder, names):
    categories = [{"id": place, "name": name} for place, name in enumerate(names)]
    (folder / "boxes.json").write_text(json.dumps({"images": [{}], "annotations": [{}], "categories": categories}))
    return lambda: tuple(read(folder / "boxes.json").categories.values())


def _in_csv(folder, names):
    cells = ['"' + name.replace('"', '""') + '"' for name in names for _ in range(3)]
    rows = [f"{place}.png,{cell}" for place, cell in enumerate(cells)]
    for place in range(len(cells)):
        (folder / f"{place}.png").write_bytes(b"")
    (folder / "list.csv").write_bytes("\n".join(["file,label", *rows]).encode("utf-8", "surrogatepass"))
    return lambda: list_csv(folder / "list.csv").class_names


def _in_folders(folder, names):
    try:
        for name in names:
            (folder / name).mkdir(parents=True)
            for place in range(3):
                (folder / name / f"{place}.png").write_bytes(b"")
    except (OSError, ValueError):
        pytest.skip("no folder can be called so")
    return lambda: list_folder(folder).class_names


PLACES = (_in_txt, _in_json, _in_coco, _in_csv, _in_folders)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", NEVER)
def test_names_that_break_lines_or_code_are_refused_wherever_they_are_given(tmp_path, kind, place):
    read = place(tmp_path, ["yield", NEVER[kind]])
    if place is _in_txt and kind in ("newline", "return"):
        assert read() == ("yield", "a", "b")  # that is what a file of lines says
        return
    with pytest.raises(BadInput) as told:
        read()
    assert str(tmp_path) in str(told.value) and str(told.value).isprintable()


@pytest.mark.parametrize("place", PLACES)
def test_every_other_name_is_taken_as_it_is(tmp_path, place):
    wanted = [name for name in ALLOWED if "/" not in name] if place is _in_folders else ALLOWED
    found = place(tmp_path, wanted)()
    assert sorted(found) == sorted(wanted) and (place in (_in_csv, _in_folders) or list(found) == wanted)


@pytest.mark.parametrize("place", PLACES)
def test_one_accented_name_is_one_class_however_it_is_written(tmp_path, place):
    apart, composed = unicodedata.normalize("NFD", "é"), unicodedata.normalize("NFC", "é")
    assert place(tmp_path, ["x", apart])() == ("x", composed)
    assert label_ids([apart, "x"], (composed, "x")) == {apart: 0, "x": 1}


@pytest.mark.parametrize(("first", "second"), [
    ("Stop", "stop"), ("stop  sign", "stop sign"), ("stop", "stop\u200b"), ("7", "07"), ("1", "1.0"), ("ﬁre", "fire"),
    ("Straße", "STRASSE"),
])  # fmt: skip
def test_names_that_look_alike_are_slips_unless_a_file_says_both(tmp_path, first, second):
    with pytest.raises(BadInput, match="signs: .* differ in case, zeros or invisible characters alone"):
        ordered("signs", [first, second, "other"])
    assert _in_txt(tmp_path, [first, second])() == (first, second)


@pytest.mark.parametrize("word", ["nan", "NaN", "n/a", "#N/A", "<NA>", "null"])
def test_a_word_for_no_value_is_no_class_unless_a_file_says_so(tmp_path, word):
    with pytest.raises(BadInput, match="as tables say that nothing is known"):
        ordered("rows", ["0", "1", word])
    assert _in_txt(tmp_path, ["a", word])() == ("a", word)


def test_the_rule_names_the_place_and_the_reason():
    with pytest.raises(BadInput, match=r'^signs: class 1 may not be called "a\\u2028b": it holds a line separator'):
        refuse_unfit("signs", ("x", "a\u2028b"), said=True)
    slips = ((("",), "it is empty"), ((" a",), "spaces around it"), (("a", "a"), 'got "a" more than once'))
    for names, reason in slips:
        with pytest.raises(BadInput, match=reason):
            refuse_unfit("signs", names, said=True)


@given(st.text(st.characters(exclude_categories=()), max_size=30))
def test_what_passes_is_one_printed_line_in_utf8(name):
    try:
        refuse_unfit("signs", (clean(name),), said=True)
    except BadInput as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert clean(name).encode().decode().splitlines() == [clean(name)]


def test_masks_are_called_by_the_same_rule(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for place in range(30):
            (tmp_path / folder / f"{place}.png").write_bytes(b"")
    with pytest.raises(BadInput, match="may not be called"):
        list_masks(tmp_path, ("road", "sky\u2028"))


def test_enormous_numbers_are_names_and_never_ids():
    digits = "9" * 30
    assert ordered("rows", ["1", "0", digits]) == ("0", "1", digits)
    with pytest.raises(BadInput, match=f"it has {LONGEST + 1:,} characters"):
        ordered("rows", ["0", "1" * (LONGEST + 1)])
    assert label_ids(["5", digits], ("a", "b")) == {}


@pytest.mark.parametrize("name", ["c.txt", "c.json", "ids.json", "by_id.json"])
def test_class_names_files(tmp_path, name):
    texts = {
        "c.txt": "stop\nno entry\n",
        "c.json": '["stop", "no entry"]',
        "ids.json": '{"no entry": 1, "stop": 0}',
        "by_id.json": '{"1": "no entry", "0": "stop"}',
    }
    (tmp_path / name).write_text(texts[name])
    assert read_class_names(tmp_path / name) == ("stop", "no entry")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "", "No class names"),
        ("a.txt", "stop\n\nyield\n", "line 2 is empty"),
        ("a.txt", "stop\nstop\n", 'got "stop" more than once'),
        ("a.json", "{", "is not a JSON list of class names"),
        ("a.json", '{"stop": 1, "yield": 2}', "class ids must be 0 to 1"),
        ("a.json", "[1, 2]", "expected a list of class names"),
    ],
)
def test_bad_class_names_are_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=message):
        read_class_names(tmp_path / name)
    with pytest.raises(BadInput, match="cannot be read"):
        read_class_names(tmp_path / "gone.txt")
