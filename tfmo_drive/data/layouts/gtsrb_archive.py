"""Lists the German Traffic Sign Recognition Benchmark as its authors give it (Stallkamp et al. 2012), or Kaggle does.

    Final_Training/Images/00014/GT-00014.csv and 00007_00029.ppm: frame 29 of the 7th track of class 14
    Training/00014/GT-00014.csv, as the first edition and torchvision have it, in place of Final_Training/Images
    Final_Test/Images/00000.ppm and GT-final_test.csv there, or beside GTSRB/, which holds both, as the archives have it
    Train.csv and Train/14/00014_00007_00029.png, Test.csv and Test/00000.png

Frames of one track are near-duplicates, so tracks are the groups; the test images' tracks are not told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tfmo_drive.base import faults
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import beside, label_ids, no_class, ordered, refuse_unfit
from tfmo_drive.data.csv_table import read_table
from tfmo_drive.data.found_files import folders_in
from tfmo_drive.data.layouts.columns import COLUMNS
from tfmo_drive.data.layouts.csv_listing import find_columns
from tfmo_drive.data.splitting import Listing, Rows, assemble

_TRAINING, _TEST, _TRUTH = Path("Final_Training", "Images"), Path("Final_Test", "Images"), "GT-final_test.csv"
_FIRST, _BELGIUMS = "Training", "Testing"
"""The first edition's folder of classes; beside the other, Belgium's signs lie in it, which are folders of classes."""
_HOME = "GTSRB"
_KAGGLE = {"Train.csv": "train", "Test.csv": "test"}


def is_archive(root: Path) -> bool:
    """Says whether `root` holds the unpacked benchmark, or is the folder of its training classes."""
    return _home(root) is not None or _is_kaggles(root) or any(_tables(root))


def _home(root: Path) -> tuple[Path, Path] | None:
    """Returns the folder of the archives, and in it that of the training classes; None where neither is there."""
    for home in (root, root / _HOME):
        if (home / _TRAINING).is_dir():
            return home, home / _TRAINING
        if (home / _FIRST).is_dir() and not (home / _BELGIUMS).is_dir() and any(_tables(home / _FIRST)):
            return home, home / _FIRST
    return None


def _is_kaggles(root: Path) -> bool:
    return all((root / name).is_file() for name in _KAGGLE) and (root / "Train").is_dir()


def _tables(training: Path) -> Iterator[Path]:
    """Yields GT-00014.csv in 00014/, ..., by their names."""
    named = (folder / f"GT-{folder.name}.csv" for folder in folders_in(training))
    return (table for table in named if table.is_file())


def list_archive(
    root: Path, class_names: Sequence[str] | None = None, seed: int = 0, skip_bad: bool = False
) -> Listing:
    """Lists the benchmark: its training tracks, of which some are sampled to be val, and its test images.

    Without Final_Test, test is sampled from the tracks as well. Classes are called by their ids, unless `class_names`,
    or classes.json or classes.txt in `root` says more. Raises BadInput as `list_csv` does.
    """
    kaggles = [(root / name, root, split) for name, split in _KAGGLE.items()]
    files, words, splits, tracks = [], [], [], []
    for path, folder, split in kaggles if _is_kaggles(root) else _official(root):
        table = read_table(path)
        found = find_columns(path, table.header, {}, COLUMNS, ("file", "label"))
        names = table.filled(found["file"])
        files += [folder / name.replace("\\", "/") for name in names]
        words += table.filled(found["label"])
        splits += [split] * len(names)
        tracks += [str(path.parent / (name.rpartition("_")[0] if split == "train" else name)) for name in names]
    known = tuple(class_names or beside(root) or ())
    refuse_unfit(root, known, said=True)
    names = known or ordered(root, words)
    ids = label_ids(words, names)
    for word in words:
        if word not in ids:
            raise BadInput(f"{root}: {no_class(word, names)}")
    kept = [row for row, file in enumerate(files) if file.is_file()]
    missing = [str(file) for file in files if not file.is_file()]
    faults.refuse(root, missing, len(files), "images are missing", skip_bad)
    labels = np.array([ids[words[row]] for row in kept], np.int64)
    groups = np.unique([tracks[row] for row in kept], return_inverse=True)[1]
    parts = np.array([splits[row] for row in kept], "<U5")
    layout = "GTSRB as Kaggle has it" if _is_kaggles(root) else "GTSRB's archive"
    rows = Rows(root, names, [files[row] for row in kept], labels, groups, parts, layout)
    return assemble(rows, seed, bool(known))


def _official(root: Path) -> list[tuple[Path, Path, str]]:
    """Returns the tables of the archive as its authors give it, each with the folder of its images and its split."""
    home, training = _home(root) or (root, root)
    tables = [(path, path.parent, "train") for path in _tables(training)]
    if not tables:
        raise BadInput(f"{training} holds no tables (00000/GT-00000.csv). Unpack the whole archive.")
    test = home / _TEST
    truths = [folder / _TRUTH for folder in (test, test.parent, home, root) if (folder / _TRUTH).is_file()]
    if test.is_dir() and not truths:
        faults.note(root, f"{test} is not read: its classes are in {_TRUTH}, of another archive. Unpack that there.")
    return tables + [(truth, test, "test") for truth in truths[:1] if test.is_dir()]
