"""Packs rows of numbers once into a flat file and reads them by index: training memory does not grow with the data.

An entry is a folder named after its key: rows.f32 (float32 records of a row's columns and, last, its target), runs.npy
(which rows belong together), pack.json. It is an entry of base.cache. Reads use pread, as in data.image_cache.
"""

from __future__ import annotations

import abc
import functools
import hashlib
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from tfmo_drive.base import atomic
from tfmo_drive.base.cache import cache_root, digest, keeping, made_once
from tfmo_drive.base.given_file import reading
from tfmo_drive.contracts import BadInput, Examples

_FILES = ("rows.f32", "runs.npy", "pack.json")
_STRETCH = 1 << 14
"""The number of rows held at once while a whole split is walked: 13 MB of float64 for 100 columns."""


class Chunk(NamedTuple):
    """Holds some rows in their order."""

    inputs: np.ndarray
    """float32 [m, columns]"""
    targets: np.ndarray
    """[m]: a number, or the code of a class (its place in the source's `classes`)."""
    groups: np.ndarray
    """int64 [m]; -1 where nothing is known of groups."""
    splits: np.ndarray
    """int64 [m]: the place in SPLITS; -1 where the split is still to be sampled."""


class Runs(NamedTuple):
    """Holds stretches of rows of one group and one split, in order; each int64 [r]."""

    first: np.ndarray
    end: np.ndarray
    group: np.ndarray
    split: np.ndarray

    def at(self, which: np.ndarray) -> Runs:
        """Returns the stretches at these places, or where a mask is true."""
        return Runs(*(values[which] for values in self))


class Summary(NamedTuple):
    """Holds what a split's rows have in common."""

    mean: np.ndarray
    deviation: np.ndarray
    """float64 [columns + 1]: that of every column and, last, of the target as stored, as `mean` is. It is 0 for what
    float32 cannot tell from a constant."""
    classes: frozenset[int]
    """The ids that occur; empty where the target is a number."""


class RowSource(abc.ABC):
    """Reads rows from somewhere: a table, a drive's log, the built-in series."""

    name: str
    """The name on progress bars and in errors."""
    columns: tuple[str, ...]
    """The inputs' names, in order."""
    key: Any
    """JSON types that say everything the rows depend on."""
    unit: str = ""
    """The unit of a target that is a number; "" where the source does not tell."""
    layout: str = "rows"
    """What the rows are, as people call it."""
    grouped: str = "groups"
    """What keeps rows together that are not independent, in the plural."""
    predicted: str = "the target"
    """What is predicted, such as `the column "gear"`."""

    @abc.abstractmethod
    def chunks(self) -> Iterator[Chunk]:
        """Yields all rows, in order, a bounded number at a time; raises BadInput where they cannot be read."""

    @property
    @abc.abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Returns the names of the targets' codes, known once all chunks were read; () where the target is a number."""


class RowPack:
    """Reads the rows of a finished entry; it is thread-safe. Raises BadInput where the folder holds no whole entry."""

    def __init__(self, folder: Path) -> None:
        with reading(folder, "a pack of rows", "Remove it; it will be made again."):
            facts = json.loads((folder / "pack.json").read_text())
            self.runs = Runs(*np.load(folder / "runs.npy"))
            self._file = open(folder / "rows.f32", "rb", buffering=0)
            self.columns: tuple[str, ...] = tuple(facts["columns"])
            self.classes: tuple[str, ...] = tuple(facts["classes"])
            self.fingerprint: str = facts["fingerprint"]
            """sha256 over rows, groups, splits and names: the content, wherever the files lie."""
            count = int(facts["rows"])
        self._stride = 4 * (len(self.columns) + 1)
        expected = count * self._stride
        if os.fstat(self._file.fileno()).st_size != expected:
            raise BadInput(f"{folder}/rows.f32 is not {expected:,} bytes. Remove {folder}; it will be made again.")

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Returns the records of these rows (int64 [b]), float32 [b, columns + 1].

        Rows in sequence cost one read together.
        """
        records = np.empty((len(rows), self._stride // 4), np.float32)
        cuts = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)] if len(rows) else []
        for start, stop in itertools.pairwise(cuts):
            place = records[start:stop]
            if os.preadv(self._file.fileno(), [place.data], int(rows[start]) * self._stride) != place.nbytes:
                raise BadInput(f"{self._file.name} ends before row {rows[stop - 1]}. Remove its folder and run again.")
        return records


class RowExamples(Examples):
    """Reads the rows of an entry that `runs` names.

    `ids` is the class id of each code, int64, None where the target is a number.
    """

    def __init__(self, pack: RowPack, runs: Runs, ids: np.ndarray | None = None) -> None:
        self._pack, self._runs, self._ids = pack, runs, ids
        self._ends = np.cumsum(runs.end - runs.first)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @functools.cached_property
    def groups(self) -> np.ndarray:
        """Returns the group of each row, int64 [n]."""
        return np.repeat(self._runs.group, self._runs.end - self._runs.first)

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns rows float32 [b, columns], and class ids int64 [b] or numbers float32 [b, 1], in this order."""
        records = self._records(np.asarray(indices, np.int64))
        targets = records[:, -1:] if self._ids is None else self._ids[records[:, -1].astype(np.int64)]
        return np.ascontiguousarray(records[:, :-1]), np.ascontiguousarray(targets)

    def summary(self) -> Summary:
        """Returns a summary, made in one pass.

        The rule is that of Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance", eq. 2.1.
        """
        count, mean, squares, codes = 0, 0.0, 0.0, set()
        for start in range(0, len(self), _STRETCH):
            part = self._records(np.arange(start, min(start + _STRETCH, len(self)))).astype(np.float64)
            own = part.mean(0)
            total = count + len(part)
            squares = squares + ((part - own) ** 2).sum(0) + (own - mean) ** 2 * (count * len(part) / total)
            mean = mean + (own - mean) * (len(part) / total)
            count = total
            if self._ids is not None:
                codes.update(np.unique(part[:, -1]).astype(int).tolist())
        deviation = np.sqrt(squares / count)
        deviation[deviation < np.finfo(np.float32).eps * np.abs(mean)] = 0.0
        return Summary(mean, deviation, frozenset(self._ids[sorted(codes)].tolist()) if codes else frozenset())

    def _records(self, indices: np.ndarray) -> np.ndarray:
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(f"row {indices.min()} or {indices.max()} of {len(self)}")
        run = np.searchsorted(self._ends, indices, "right")
        return self._pack.read(self._runs.end[run] - self._ends[run] + indices)


def pack(source: RowSource, folder: Path | None = None) -> RowPack:
    """Packs every row of `source` into `folder/<key>` (by default in the cache), or reuses the entry there.

    Raises BadInput where there are no rows, and where the disk is full or cannot be written.
    """
    path = (folder or cache_root() / "rows") / digest(source.key)[:20]
    with keeping("Rows", path.parent):
        return RowPack(made_once(path, functools.partial(_write, source), _FILES))


def _write(source: RowSource, folder: Path) -> None:
    content, runs, count = hashlib.sha256(), [], 0
    progress = tqdm(desc=f"read {source.name}", unit="row", unit_scale=True, disable=None, leave=False)
    with open(folder / "rows.f32", "wb") as out, progress:
        for chunk in source.chunks():
            records = np.empty((len(chunk.inputs), len(source.columns) + 1), np.float32)
            records[:, :-1], records[:, -1] = chunk.inputs, chunk.targets
            out.write(records.data)
            content.update(records.data)
            runs.append(_runs(chunk.groups, chunk.splits, count))
            count += len(records)
            progress.update(len(records))
    if not count:
        raise BadInput(f"No rows in {source.name}. Expected at least one for each of train, val and test.")
    merged = _merged(Runs(*np.concatenate(runs, axis=1)))
    np.save(folder / "runs.npy", np.stack(merged))
    facts = {"columns": list(source.columns), "classes": list(source.classes), "rows": count}
    content.update(np.stack(merged).tobytes() + json.dumps(facts).encode())
    atomic.write_json(folder / "pack.json", facts | {"fingerprint": content.hexdigest()})


def _runs(groups: np.ndarray, splits: np.ndarray, first: int) -> Runs:
    changes = np.flatnonzero((np.diff(groups) != 0) | (np.diff(splits) != 0)) + 1
    starts = np.concatenate([np.zeros(min(1, len(groups)), np.int64), changes])
    ends = np.append(starts[1:], len(groups))[: len(starts)]
    return Runs(first + starts, first + ends, groups[starts].astype(np.int64), splits[starts].astype(np.int64))


def _merged(runs: Runs) -> Runs:
    """Returns neighbours of one group and one split, which chunks cut, as one."""
    new = np.append(True, (np.diff(runs.group) != 0) | (np.diff(runs.split) != 0))
    return Runs(runs.first[new], runs.end[np.append(new[1:], True)], runs.group[new], runs.split[new])
