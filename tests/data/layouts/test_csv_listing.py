from tfmo_drive.data.layouts.csv_listing import find_files


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
