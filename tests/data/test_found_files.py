"""Folders as people have them: every file once, nothing that hangs, and what is not taken is counted."""

import os

import pytest

from tfmo_drive.contracts import BadInput
from tfmo_drive.data import found_files
from tfmo_drive.data.found_files import identity, walk
from tfmo_drive.data.layouts.csv_listing import list_csv
from tfmo_drive.data.layouts.listing import list_folder, list_source
from tfmo_drive.data.splitting import SPLITS


def classes(root, **counts):
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (root / name / f"{number}.png").write_bytes(name.encode())
    return root


def listed(listing):
    return sorted(str(file) for split in SPLITS for file in listing[split].files)


def test_links_that_loop_are_not_followed_and_said(tmp_path, caplog):
    root = classes(tmp_path / "signs", car=6, bus=6)
    (root / "car" / "again").symlink_to(root / "car")
    (root / "bus" / "above").symlink_to(root)
    (root / "bus" / "deep").mkdir()
    (root / "bus" / "deep" / "up").symlink_to(root / "bus")
    assert len(listed(list_folder(root))) == 12
    assert "not read: 3 links to folders that were listed already" in caplog.text


def test_what_is_not_read_is_counted_by_its_suffix(tmp_path, caplog):
    root = classes(tmp_path / "signs", car=6, bus=6)
    for name in ("a.heic", "b.HEIC", "notes.txt", "LICENCE", ".hidden", "._0.png"):
        (root / "car" / name).write_bytes(b"")
    (root / "__MACOSX" / "car").mkdir(parents=True)
    (root / "__MACOSX" / "car" / "0.png").write_bytes(b"")
    (root / "bus" / "x.jpg").mkdir()
    assert len(listed(list_folder(root))) == 12
    assert "not read: 2 .heic, 1 without a suffix, 1 .txt." in caplog.text


def test_every_suffix_of_an_image_is_taken(tmp_path):
    root = classes(tmp_path / "signs", car=6, bus=6)
    for suffix in ("webp", "tif", "TIFF", "jfif", "bmp", "ppm", "pgm", "gif", "jp2", "avif", "JPE"):
        (root / "car" / f"one.{suffix}").write_bytes(suffix.encode())
    assert len(listed(list_folder(root))) == 23


def test_pipes_and_links_to_nothing_are_named_and_left_out_only_when_asked(tmp_path):
    root = classes(tmp_path / "signs", car=6, bus=6)
    os.mkfifo(root / "car" / "pipe.png")
    (root / "bus" / "gone.jpg").symlink_to("nowhere.jpg")
    with pytest.raises(BadInput, match="2 of 14 images are no files .*gone.jpg .no such file.*pipe.png .not a regular"):
        list_folder(root)
    assert len(listed(list_folder(root, skip_bad=True))) == 12
    with pytest.raises(BadInput, match="not a folder of classes and not a .csv file"):
        list_source(root / "car" / "pipe.png")


def test_a_list_that_is_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "list.csv")
    with pytest.raises(BadInput, match="is a pipe or a device"):
        list_csv(tmp_path / "list.csv")


def test_one_image_with_two_labels_is_refused_whatever_its_name(tmp_path):
    root = classes(tmp_path / "signs", car=6, bus=6)
    (root / "car" / "link.png").symlink_to(root / "bus" / "0.png")
    os.link(root / "car" / "1.png", root / "bus" / "hard.png")
    with pytest.raises(BadInput, match='2 of 14 images have two labels: .*"bus" and "car"'):
        list_folder(root)
    (root / "trucks").symlink_to(root / "car")
    with pytest.raises(BadInput, match="images have two labels"):
        list_folder(root)


def test_one_image_listed_twice_counts_once_and_is_said(tmp_path, caplog):
    root = classes(tmp_path / "signs", car=6, bus=6)
    (root / "car" / "link.png").symlink_to(root / "car" / "0.png")
    assert len(listed(list_folder(root))) == 12
    assert "1 of 13 images are listed more than once, and taken once: " in caplog.text
    rows = ["file,label", *(f"{name}/{n}.png,{name}" for name in ("car", "bus") for n in range(6)), "./car/0.png,car"]
    (tmp_path / "signs" / "list.csv").write_text("\n".join(rows))
    assert len(listed(list_source(root))) == 12
    (tmp_path / "signs" / "list.csv").write_text("\n".join([*rows, "car/0.png,bus"]))
    with pytest.raises(BadInput, match='1 of 14 images have two labels: .*0.png ."car" and "bus"'):
        list_source(root)


def test_one_image_in_two_splits_is_refused_under_any_name(tmp_path):
    for split in SPLITS:
        classes(tmp_path / split, car=3, bus=3)
    (tmp_path / "test" / "car" / "9.png").symlink_to(tmp_path / "train" / "car" / "0.png")
    with pytest.raises(BadInput, match=r"9.png \(.*train/car/0.png\) is in train and in test"):
        list_folder(tmp_path)


def test_folders_that_cannot_be_listed_are_told(tmp_path):
    with pytest.raises(BadInput, match="gone cannot be read: No such file"):
        walk(tmp_path / "gone", (".png",))
    assert identity(tmp_path / "gone") == str(tmp_path / "gone") and identity("a\0b")


def test_empty_and_missing_labels_are_named_with_their_lines(tmp_path):
    classes(tmp_path, car=9)
    for cells, said in (
        ({2: "", 5: " "}, '2 of 9 cells of the column "label" are empty: line 4, line 7. Fill them'),
        ({3: "nan"}, '1 of 9 cells .* line 5 ."nan"'),
        ({4: "x"}, '1 of 9 labels are no ids, as the others are: line 6 ."x".'),
    ):
        rows = [f"car/{n}.png,{cells.get(n, n % 3)}" for n in range(9)]
        (tmp_path / "list.csv").write_text("\n".join(["file,label", *rows]))
        with pytest.raises(BadInput, match=said):
            list_csv(tmp_path / "list.csv")


def test_ids_with_a_fraction_of_zero_are_ids(tmp_path):
    classes(tmp_path, car=12)
    (tmp_path / "list.csv").write_text("\n".join(["file,label", *(f"car/{n}.png,{n % 4}.0" for n in range(12))]))
    assert list_csv(tmp_path / "list.csv").class_names == ("0", "1", "2", "3")


def test_a_train_may_be_a_vehicle(tmp_path):
    listing = list_folder(classes(tmp_path, train=6, bus=6, car=6))
    assert listing.class_names == ("bus", "car", "train") and len(listed(listing)) == 18


def test_what_lies_beside_the_folders_that_are_read_is_said(tmp_path, caplog):
    for split in ("Train", "val"):
        classes(tmp_path / split, car=6, bus=6)
    classes(tmp_path / "Meta", car=2)
    classes(tmp_path, Test=3)
    (tmp_path / "Train" / "loose.JPG").write_bytes(b"")
    assert len(listed(list_folder(tmp_path))) == 24
    assert "not read: 1 images that are in no folder of a class, such as" in caplog.text
    assert 'not read: "Meta", "Test", no split with folders of classes' in caplog.text


def test_two_columns_of_one_name_are_refused(tmp_path):
    classes(tmp_path, car=9)
    rows = [f"car/{n}.png,{n % 2},1" for n in range(9)]
    (tmp_path / "list.csv").write_text("\n".join(["file,label,Label", *rows]))
    with pytest.raises(BadInput, match='"label", "Label" could each be the column of the label'):
        list_csv(tmp_path / "list.csv")
    assert list_csv(tmp_path / "list.csv", columns={"label": "label"}).class_names == ("0", "1")
    (tmp_path / "list.csv").write_text("\n".join(["file,sign,sign", *rows]))
    with pytest.raises(BadInput, match='"sign", "sign" could each be'):
        list_csv(tmp_path / "list.csv", columns={"label": "sign"})


@pytest.mark.parametrize(
    "written", ["{name}\\{n}.png", "C:\\Users\\me\\signs\\{name}\\{n}.png", "/mnt/signs/{name}/{n}.png"]
)
def test_names_of_another_machine_are_found_by_their_longest_end(tmp_path, written):
    classes(tmp_path, car=6, bus=6)
    classes(tmp_path / "me", car=1)
    rows = [f"{written.format(name=name, n=n)};{name}" for name in ("car", "bus") for n in range(6)]
    (tmp_path / "list.csv").write_bytes(("\ufeff" + "\r\n".join(["file;label", *rows])).encode())
    listing = list_csv(tmp_path / "list.csv")
    assert listed(listing) == listed(list_csv(tmp_path / "list.csv")) and len(listed(listing)) == 12
    for split in SPLITS:
        names = [listing.class_names[label] for label in listing[split].labels]
        assert names == [file.parent.name for file in listing[split].files]


@pytest.mark.parametrize(
    "written", ["{name}/{n}.png", "{name}\\{n}.png", "C:\\me\\{name}\\{n}.png", "/mnt/{name}/{n}.png"]
)
def test_a_missing_image_is_never_another_one_of_its_name(tmp_path, written):
    classes(tmp_path, car=6, bus=6)
    (tmp_path / "bus" / "3.png").unlink()
    (tmp_path / "3.png").write_bytes(b"another one")
    rows = [f"{written.format(name=name, n=n)};{name}" for name in ("car", "bus") for n in range(6)]
    (tmp_path / "list.csv").write_text("\n".join(["file;label", *rows]))
    with pytest.raises(BadInput, match=r"1 of 12 images are missing in .*bus.3.png"):
        list_csv(tmp_path / "list.csv")


def test_lists_of_two_machines_are_found_each_by_its_own_beginning(tmp_path):
    classes(tmp_path, car=6, bus=6)
    rows = [f"C:\\me\\signs\\car\\{n}.png;car" for n in range(6)]
    rows += ["/home" + f"/you/bus/{n}.png;bus" for n in range(6)]
    (tmp_path / "list.csv").write_text("\n".join(["file;label", *rows]))
    assert len(listed(list_csv(tmp_path / "list.csv"))) == 12


def test_a_folder_is_listed_again_where_something_came_or_went(tmp_path, monkeypatch):
    (tmp_path / "train").mkdir()
    for number in range(300):
        (tmp_path / f"{number:03}.TXT").touch()
    listings, scan = [], found_files.scanned
    monkeypatch.setattr(found_files, "scanned", lambda folder: listings.append(folder) or scan(folder))

    def settled():
        os.utime(tmp_path, ns=(0, os.stat(tmp_path).st_mtime_ns - 10**10))
        return found_files.inside(tmp_path)

    first = settled()
    assert first.folders == ("train",) and first.files[".txt"] == tuple(f"{number:03}.TXT" for number in range(100))
    assert found_files.inside(tmp_path) is first and len(listings) == 1
    (tmp_path / "val").mkdir()
    assert found_files.folders_in(tmp_path) == [tmp_path / "train", tmp_path / "val"]
    assert settled().folders == ("train", "val")
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        found_files.inside(tmp_path / "nothing")
