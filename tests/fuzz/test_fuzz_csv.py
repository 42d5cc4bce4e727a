"""Damaged CSV lists of images: every row is listed once with the label that stands there, or a slip is named."""

import csv
import os
import posixpath
import re
import unicodedata

import numpy as np
import pytest
from damage import mostly_damaged, pick, text_in

from tfmo_drive.data.layouts.csv_listing import list_csv
from tfmo_drive.data.splitting import SPLIT_WORDS, SPLITS

NAMES = [f"{place}/{number:02}.png" for place in ("a", "b", "été, 1") for number in range(12)]


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """A folder with the images of all cases, which are never opened."""
    folder = tmp_path_factory.mktemp("pool")
    for name in NAMES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def _list(random: np.random.Generator) -> str:
    separator, words = pick(random, ",;\t"), pick(random, (("0", "1", "2"), ("stop", 'the "x"', "été")))
    lines = [["file", "label", "split", "track", "note"]]
    for place, name in enumerate(random.permutation(NAMES).tolist()):
        label, split = words[place % 3], ("train", "Val", "test")[min(place // 12, 2)]
        lines.append([name, label, split, pick(random, ("", f"t{place}")), pick(random, ("", "wet", "said ''no''"))])
    if random.random() < 0.5:
        lines = [[*cells[:2], *cells[4:]] for cells in lines]
    quoted = random.random() < 0.3
    rows = []
    for cells in lines:
        needed = [quoted or separator in cell or '"' in cell for cell in cells]
        doubled = [cell.replace('"', '""') for cell in cells]
        rows.append(separator.join(f'"{cell}"' if need else cell for need, cell in zip(needed, doubled, strict=True)))
        rows += [""] * (random.random() < 0.05)
    return pick(random, ("", "\ufeff")) + pick(random, ("\n", "\r\n", "\r")).join(rows)


def _cells(text: str) -> list[list[str]]:
    """Line by line, with Python's own reader; the first line names the columns, in small letters and digits."""
    lines = [line for line in text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    lines = [line for line in lines if line.strip(" ,;\t")] or [""]
    separator = max(",;\t", key=re.sub('"[^"]*"', "", lines[0]).count)  # one in a quoted cell is none
    rows = [next(csv.reader([line], delimiter=separator, skipinitialspace=True), []) for line in lines]
    names, *rows = [[cell.strip() for cell in row] for row in rows]
    return [[re.sub("[^a-z0-9]", "", name.lower()) for name in names], *rows]


def _expected(text: str) -> list[dict[str, str]]:
    names, *rows = _cells(text)
    return [dict(zip(names, row, strict=True)) for row in rows]


def _right(listing, folder, rows: list[dict[str, str]]) -> None:
    """Asserts that every row is listed once, in its split and with its label."""
    found = {}
    for split in SPLITS:
        part = listing[split]
        for file, label in zip(part.files, part.labels.tolist(), strict=True):
            name = os.path.relpath(file, folder / "images")
            assert name in NAMES and name not in found
            found[name] = listing.class_names[label], split
    told = {SPLIT_WORDS[row["split"].lower()] for row in rows if "split" in row}
    for row in rows:
        tail = posixpath.normpath(row["file"].replace("\\", "/"))
        (name,) = [name for name in NAMES if f"/{tail}".endswith(f"/{name}")]
        label, split = found[name]
        assert label == unicodedata.normalize("NFC", row["label"]) or int(label) == float(row["label"])
        given = SPLIT_WORDS[row["split"].lower()] if "split" in row else "train"
        assert split == given or (given == "train" and split not in told)
    assert len(found) == len({posixpath.normpath(row["file"].replace("\\", "/")) for row in rows})


def test_damaged_lists_are_read_right_or_refused(fuzz, pool):
    def attempt(case):
        path, text = case.folder / "list.csv", _list(case.random)
        (case.folder / "images").symlink_to(pool)
        path.write_bytes(mostly_damaged(case.random, text, most=2))
        listing = case.read(path, lambda: list_csv(path))
        if listing is not None:
            _right(listing, case.folder, _expected(text_in(path.read_bytes())))

    fuzz(attempt, cases=300)


def test_damaged_lists_of_each_split_are_read_right_or_refused(fuzz, pool):
    def attempt(case):
        (case.folder / "images").symlink_to(pool)
        header, *lines = [line for line in re.split("\r\n|\r|\n", _list(case.random)) if line]
        paths = {split: case.folder / f"{split}.csv" for split in SPLITS}
        for place, path in enumerate(paths.values()):
            path.write_text("\n".join([header, *lines[12 * place : 12 * (place + 1)]]), encoding="utf-8")
        hurt = pick(case.random, [*paths.values()])
        hurt.write_bytes(mostly_damaged(case.random, hurt.read_text(encoding="utf-8"), most=2))
        listing = case.read(case.folder, lambda: list_csv(case.folder))
        if listing is None:
            return
        files = {split: path.read_bytes() for split, path in paths.items()}
        headers = {split: _cells(data.decode("utf-8", "replace"))[0] for split, data in files.items()}
        read = {split: _expected(text_in(files[split])) for split in SPLITS if headers[split] == headers["train"]}
        _right(listing, case.folder, [{**row, "split": split} for split, rows in read.items() for row in rows])

    fuzz(attempt, cases=100)
