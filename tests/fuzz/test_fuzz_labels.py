"""Damaged CSV lists of several labels an image: every image has the labels that stand there, or a slip is named."""

import csv
import os
import posixpath
import re
import unicodedata

import numpy as np
import pytest
from damage import mostly_damaged, pick, text_in

from tfmo_drive.data.layouts.label_listing import list_labels
from tfmo_drive.data.splitting import SPLIT_WORDS, SPLITS

NAMES = [f"{place}/{number:02}.png" for place in ("a", "été, 1") for number in range(15)]
LABELS = ("car", 'the "x"', "été")
MISSING = ("", "nan", "n/a", "#n/a", "<na>", "null")


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """A folder with the images of all cases, which are never opened."""
    folder = tmp_path_factory.mktemp("pool")
    for name in NAMES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def _list(random: np.random.Generator) -> str:
    separator, one_column = pick(random, ",;\t"), random.random() < 0.5
    own = random.random((len(NAMES), len(LABELS))) < 0.5
    lines = [["image", "split", *(["labels"] if one_column else LABELS), "speed"]]
    for place, name in enumerate(random.permutation(NAMES).tolist()):
        said = [label for label, there in zip(LABELS, own[place], strict=True) if there]
        cells = [pick(random, ("|", " | ", ";")).join(said)] if one_column else [str(int(one)) for one in own[place]]
        lines.append([name, ("train", "Val", "test")[place // 10], *cells, f"{17 + place / 4}"])
    if random.random() < 0.5:
        lines = [[cells[0], *cells[2:]] for cells in lines]
    rows = []
    for cells in lines:
        needed = [separator in cell or '"' in cell for cell in cells]
        doubled = [cell.replace('"', '""') for cell in cells]
        rows.append(separator.join(f'"{cell}"' if need else cell for need, cell in zip(needed, doubled, strict=True)))
    return pick(random, ("", "\ufeff")) + pick(random, ("\n", "\r\n", "\r")).join(rows)


def _expected(text: str) -> tuple[list[str], list[dict[str, str]]]:
    """The header, and line by line with Python's own reader {column: cell}."""
    lines = [line for line in text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    lines = [line for line in lines if line.strip(" ,;\t")]
    outside = re.sub('"[^"]*"', "", lines[0])
    separator = max(",;\t", key=outside.count)
    rows = [next(csv.reader([line], delimiter=separator, skipinitialspace=True)) for line in lines]
    names, *rows = [[cell.strip() for cell in row] for row in rows]
    assert all(len(row) == len(names) for row in rows)
    return names, [dict(zip(names, row, strict=True)) for row in rows]


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def _is_bit(cell: str) -> bool:
    try:
        return "_" not in cell and float(cell) in (0, 1)
    except ValueError:
        return False


def _labels_of(header: list[str], rows: list[dict[str, str]]) -> list[set[str]]:
    """The labels of each row, as it says them."""
    said = next(
        (name for kind in ("labels", "tags", "label", "classes") for name in header if _plain(name) == kind), ""
    )
    if said:
        cells = [re.split("[;|]", row[said]) for row in rows]
        return [{unicodedata.normalize("NFC", one.strip()) for one in row if one.strip().lower() not in MISSING}
                for row in cells]  # fmt: skip
    bits = [name for name in header if sum(_is_bit(row[name]) for row in rows) * 2 > len(rows)]
    assert all(_is_bit(row[name]) for row in rows for name in bits)
    assert len({unicodedata.normalize("NFC", name) for name in bits}) == len(bits)
    return [{unicodedata.normalize("NFC", name) for name in bits if float(row[name])} for row in rows]


def test_damaged_lists_of_labels_are_read_right_or_refused(fuzz, pool):
    def attempt(case):
        path, text = case.folder / "list.csv", _list(case.random)
        (case.folder / "images").symlink_to(pool)
        path.write_bytes(mostly_damaged(case.random, text, most=2))
        listing = case.read(path, lambda: list_labels(path))
        if listing is None:
            return
        found = {}
        for split in SPLITS:
            part = listing[split]
            assert np.isin(part.labels, (0, 1)).all() and np.ptp(part.labels, axis=0).any()
            for file, labels in zip(part.files, part.labels, strict=True):
                name = os.path.relpath(file, case.folder / "images")
                assert name in NAMES and name not in found
                found[name] = {listing.class_names[place] for place in np.flatnonzero(labels)}, split
        header, rows = _expected(text_in(path.read_bytes()))
        (file,) = [name for name in header if _plain(name) in ("image", "file", "path", "filename", "imagepath")]
        split = next((name for name in header if _plain(name) in ("split", "set", "subset")), None)
        assert len(rows) == len(found)
        given = [SPLIT_WORDS[row[split].lower()] if split else "train" for row in rows]
        if "test" not in given:  # val is the test split then
            given = ["test" if one == "val" else one for one in given]
        for row, labels, told in zip(rows, _labels_of(header, rows), given, strict=True):
            tail = posixpath.normpath(row[file].replace("\\", "/"))
            (name,) = [name for name in NAMES if f"/{tail}".endswith(f"/{name}")]
            own, where = found[name]
            assert own == labels
            assert where == told or (told == "train" and where not in given)

    fuzz(attempt, cases=200)
