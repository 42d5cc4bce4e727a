"""The traffic sign benchmark as its authors give it: tracks stay whole, its own test images are the test split."""

import shutil

import numpy as np
import pytest

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.layouts.listing import list_source
from tfmo_drive.data.splitting import SPLITS

HEADER = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"


def written(folder, table, rows):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / table).write_text("\n".join([HEADER, *(f"{name};48;48;5;5;43;43;{label}" for name, label in rows)]))
    for name, _ in rows:
        (folder / name).write_bytes(b"")


@pytest.fixture
def root(tmp_path):
    for label in range(3):
        frames = [(f"{track:05}_{frame:05}.ppm", label) for track in range(8) for frame in range(5)]
        written(tmp_path / f"Final_Training/Images/{label:05}", f"GT-{label:05}.csv", frames)
    written(tmp_path / "Final_Test/Images", "GT-final_test.csv", [(f"{n:05}.ppm", n % 3) for n in range(15)])
    return tmp_path


def test_tracks_stay_whole_and_the_test_images_are_the_test_split(root):
    listing = list_source(root)
    assert listing.class_names == ("0", "1", "2")
    assert [len(listing[split]) for split in SPLITS] == [105, 15, 15]
    assert {file.parent.parent.name for file in listing["test"].files} == {"Final_Test"}
    tracks = [{(f.parent.name, f.name[:5]) for f in listing[split].files} for split in ("train", "val")]
    assert not tracks[0] & tracks[1] and len(tracks[0]) == 21 and len(np.unique(listing["train"].groups)) == 21
    for split in SPLITS[:2]:
        assert [int(file.parent.name) for file in listing[split].files] == listing[split].labels.tolist()
    (root / "classes.txt").write_text("twenty\nthirty\nfifty\n")
    assert list_source(root).class_names == ("twenty", "thirty", "fifty")


def test_without_the_test_archive_tracks_are_drawn(root):
    (root / "Final_Test").rename(root / "elsewhere")
    for folder in (root, root / "Final_Training/Images"):
        assert [len(list_source(folder)[split]) for split in SPLITS] == [90, 15, 15]


@pytest.mark.parametrize("place", ["GT-final_test.csv", "GTSRB/GT-final_test.csv", ""])
def test_the_test_classes_lie_where_their_archive_puts_them(root, place, caplog):
    (root / "GTSRB").mkdir()
    for name in ("Final_Training", "Final_Test"):
        (root / name).rename(root / "GTSRB" / name)
    (root / "GTSRB/Final_Test/Images/GT-final_test.csv").rename(root / (place or "elsewhere.txt"))
    listing = list_source(root)
    assert [len(listing[split]) for split in SPLITS] == ([105, 15, 15] if place else [90, 15, 15])
    assert ("Final_Test/Images is not read: its classes are in" in caplog.text) == (not place)


@pytest.mark.parametrize("home", ["", "GTSRB"])
def test_the_first_editions_training_folder_counts_as_torchvision_unpacks_it(root, home):
    (root / home).mkdir(exist_ok=True)
    (root / "Final_Training/Images").rename(root / home / "Training")
    (root / "Final_Training").rmdir()
    (root / "Final_Test/Images/GT-final_test.csv").rename(root / "GT-final_test.csv")
    (root / "Final_Test").rename(root / home / "Final_Test")
    listing = list_source(root)
    assert [len(listing[split]) for split in SPLITS] == [105, 15, 15] and listing.class_names == ("0", "1", "2")


def test_belgiums_signs_are_folders_of_classes_whose_testing_counts(root):
    (root / "Final_Training/Images").rename(root / "Training")
    for place in ("Final_Training", "Final_Test"):
        shutil.rmtree(root / place)
    shutil.copytree(root / "Training", root / "Testing")
    listing = list_source(root)
    assert listing.layout == "folders of classes" and len(listing["test"]) == 120


def test_what_is_missing_is_counted(root):
    (root / "Final_Training/Images/00001/00003_00002.ppm").unlink()
    with pytest.raises(BadInput, match="1 of 135 images are missing: .*00001/00003_00002.ppm"):
        list_source(root)
    assert sum(len(list_source(root, skip_bad=True)[split]) for split in SPLITS) == 134
    (root / "Final_Training/Images/00002/GT-00002.csv").write_text(f"{HEADER}\n00000_00000.ppm;48;48;5;5;43;43;\n")
    with pytest.raises(BadInput, match="GT-00002.csv: 1 of 1 cells of the column .ClassId. are empty: line 2"):
        list_source(root)


def test_kaggles_tables_are_the_same_benchmark(tmp_path):
    """Its paths begin at the tables; a track is told by the class and the number in a name."""
    for table, split in (("Train.csv", "Train"), ("Test.csv", "Test")):
        rows = ["Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path"]
        for label in range(3):
            for number in range(40 if split == "Train" else 5):
                name = f"Train/{label}/{label:05}_{number // 5:05}_{number % 5:05}.png"
                name = name if split == "Train" else f"Test/{5 * label + number:05}.png"
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).write_bytes(b"")
                rows.append(f"48,48,5,5,43,43,{label},{name}")
        (tmp_path / table).write_text("\n".join(rows))
    (tmp_path / "Meta.csv").write_text("Path,ClassId,ShapeId,ColorId,SignId\nMeta/0.png,0,0,0,1\n")
    listing = list_source(tmp_path)
    assert listing.class_names == ("0", "1", "2")
    assert [len(listing[split]) for split in SPLITS] == [105, 15, 15]
    assert {file.parent.name for file in listing["test"].files} == {"Test"}
    tracks = [{(f.parent.name, f.name[6:11]) for f in listing[split].files} for split in ("train", "val")]
    assert not tracks[0] & tracks[1] and len(tracks[0]) == 21 and len(np.unique(listing["train"].groups)) == 21
