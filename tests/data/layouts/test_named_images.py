import pytest

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.layouts.named_images import find_beside, find_files, find_recorded


def test_the_order_of_the_folders_decides_where_a_file_lies(tmp_path):
    held = {"one": ("a.png", "b.png"), "two": ("a.png", "b.png", "c.png", "deep/a.png"), "three": ("c.png", "d.png")}
    for folder, names in held.items():
        for name in names:
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / name).write_bytes(b"")
    (tmp_path / "one" / "d.png").mkdir()  # no file
    names = ["c.png", "a.png", "d.png", "gone.png", "b.png", "deep/a.png", "./deep/a.png", "c.png", "", "x" * 400]
    found = find_files([tmp_path / folder for folder in (*held, "nowhere")], names)
    places = ["two", "one", "three", None, "one", "two", "two", "two", None, None]
    assert found == [tmp_path / place / name if place else None for place, name in zip(places, names, strict=True)]
    assert find_files([tmp_path], [str(tmp_path / "one" / "a.png")]) == [tmp_path / "one" / "a.png"]


def test_a_column_of_names_without_suffixes_is_one_of_ids(tmp_path):
    for name in ("7.jpg", "0007.jpg", "0012.PNG", "stop.tif", "12.txt"):
        (tmp_path / name).touch()
    assert [file and file.name for file in find_files([tmp_path], ["7", "12", "0012", "stop", "8", "sto"])] == [
        "7.jpg", "0012.PNG", "0012.PNG", "stop.tif", None, None,
    ]  # fmt: skip
    assert find_files([tmp_path], ["12", "7.jpg"]) == [None, tmp_path / "7.jpg"]  # a suffix was lost
    assert find_recorded([tmp_path], [r"C:\me\12", r"C:\me\x\1.png"])[0] is None
    (tmp_path / "0012.jpg").touch()
    with pytest.raises(BadInput, match=r": 0012.PNG and 0012.jpg could each be the image 12. Write the suffix too."):
        find_files([tmp_path], ["12"])


def test_images_beside_a_table_are_found_in_the_only_folder_that_has_them(tmp_path):
    for folder in ("center", "masks"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").touch()
    table = tmp_path / "list.csv"
    assert find_beside(table, ["1.png", "2.png"]) == [tmp_path / "center" / "1.png", None]
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "1.png").touch()
    with pytest.raises(BadInput, match=r"those in .*center or those in .*left\? Move them to .*images\."):
        find_beside(table, ["1.png"])
    assert find_beside(table, ["left/1.png"]) == [tmp_path / "left" / "1.png"]
    (tmp_path / "Images").mkdir()
    (tmp_path / "Images" / "1.png").touch()
    assert find_beside(table, ["1.png"]) == [tmp_path / "Images" / "1.png"]
