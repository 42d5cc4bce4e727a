"""Damaged entries of the cache: what is read is what was put there, made again where it has to be, or one line."""

import itertools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from damage import damaged_bytes, damaged_json, damaged_text, pick

from tfmo_drive.base import cache
from tfmo_drive.data import image_cache
from tfmo_drive.data.image_cache import Example, pack_generated
from tfmo_drive.tasks.sensor_rows import packed_rows

COUNT = 7


def _drawn(index: int) -> Example:
    random = np.random.default_rng(index)
    label = {"angle": random.normal(size=2).astype(np.float32), "class": np.int64(index % 3)}
    pixels = random.integers(0, 256, (4, 5, 3), np.uint8)
    return Example(pixels, label, pixels[..., 0] % 4, {"weather": ("rain", "sun")[index % 2]}, index // 2)


class Table(packed_rows.RowSource):
    """Forty rows of three columns."""

    name, columns, key, classes = "table", ("a", "b", "c"), "table", ("x", "y")

    def chunks(self):
        random = np.random.default_rng(0)
        inputs = random.normal(size=(40, 3)).astype(np.float32)
        yield packed_rows.Chunk(inputs, np.arange(40) % 2, np.arange(40) // 5, np.arange(40) // 14)


def _images(folder: Path) -> list[np.ndarray]:
    found = pack_generated(_drawn, COUNT, "x", folder)
    pixels, named = found.read(np.arange(COUNT))
    return [pixels, *(named[name] for name in sorted(named)), found.groups, found.attributes["weather"]]


def _table(folder: Path) -> list[np.ndarray]:
    found = packed_rows.pack(Table(), folder)
    return [found.read(np.arange(40)), np.stack(found.runs), np.array([*found.columns, *found.classes])]


READERS = ((_images, image_cache._FILES), (_table, packed_rows._FILES))


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """(reader, names of its files, its cache, what it gives) of each."""
    made = []
    for reader, names in READERS:
        folder = tmp_path_factory.mktemp("good")
        made.append((reader, names, folder, reader(folder)))
        reader(folder)  # compared once: the seal says when
    return made


def _damage(random: np.random.Generator, entry: Path) -> None:
    """One accident."""
    path = entry / pick(random, sorted(os.listdir(entry)) or ["pack.json"])
    kind = int(random.integers(10))
    if kind < 3 and path.is_file() and not path.is_symlink():
        times = path.stat()
        path.write_bytes(damaged_bytes(random, path.read_bytes(), 2))
        if random.random() < 0.5:
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif kind == 3 and (entry / cache.SEAL).is_file():
        seal = json.loads((entry / cache.SEAL).read_text(errors="replace") or "0") if random.random() < 0.5 else {}
        text = json.dumps(damaged_json(random, seal))
        (entry / cache.SEAL).write_text(damaged_text(random, text), errors="replace")
    elif kind == 4:
        path.unlink(missing_ok=True) if not path.is_dir() else None
    elif kind == 5:
        path = entry / pick(random, (*image_cache._FILES, *packed_rows._FILES, "notes.txt"))
        path.unlink(missing_ok=True) if not path.is_dir() else None
        path.write_bytes(random.bytes(9))
    elif kind == 6 and not path.is_dir():
        path.unlink(missing_ok=True)
        pick(random, (os.mkfifo, os.mkdir, lambda place: os.symlink("/dev/zero", place)))(path)
    elif kind == 7:
        if not (entry / "notes.txt").exists():
            (entry / "notes.txt").write_text("mine")
    elif kind == 8:
        shutil.rmtree(entry, ignore_errors=True)
    elif kind == 9:
        left = entry.with_name(f".{entry.name}.tfmo_drive-0123456789abcdef.{pick(random, ('tmp', 'old'))}")
        shutil.copytree(entry, left, symlinks=True, ignore=lambda *_: ["notes.txt"], dirs_exist_ok=True)


def test_damaged_entries_give_what_was_put_there(fuzz, good):
    def attempt(case):
        reader, names, folder, wanted = pick(case.random, good)
        shutil.copytree(folder, case.folder, dirs_exist_ok=True)
        (entry,) = (path for path in case.folder.iterdir() if path.is_dir())
        for _ in range(int(case.random.integers(1, 4))):
            entry.mkdir(exist_ok=True)
            try:
                _damage(case.random, entry)
            except (OSError, ValueError, RecursionError, shutil.Error):
                continue  # what was damaged before cannot be damaged so
        entry.mkdir(exist_ok=True)
        notes, own = (entry / "notes.txt").exists(), (*names, cache.SEAL)
        others = [path for path in entry.iterdir() if path.name not in own or path.is_dir()]
        found = case.read(entry, lambda: reader(case.folder))
        assert (entry / "notes.txt").exists() == notes, "somebody's notes are gone"
        if found is None:
            assert others, f"refused, and all was the cache's own: {case.message}"
            return
        for ours, theirs in itertools.zip_longest(found, wanted):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)

    fuzz(attempt, cases=60)
