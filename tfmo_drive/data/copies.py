"""Finds files that are copies of one another byte by byte, so that splits that are drawn part none of them."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tfmo_drive.data.found_files import first_equal

_HEAD = 4096
"""The bytes that are compared first: most files of equal length differ there."""


def same_content(files: Sequence[str | os.PathLike]) -> np.ndarray:
    """Returns a number for each file, int64 [n], equal where files hold the same bytes.

    Files that share their length with no other are not opened; what cannot be read is like no other.
    """
    sizes = np.fromiter(map(_size, files), np.int64, len(files))
    sizes[sizes < 0] = -1 - np.arange(len(files))[sizes < 0]
    heads = np.zeros(len(files), np.int64)
    firsts = first_equal(sizes[:, None])
    for index in _shared(firsts):
        heads[index] = _head(files[index], index)
    firsts = first_equal(np.stack([sizes, heads], axis=1))
    known: dict[tuple[int, bytes | int], int] = {}
    for index in _shared(firsts):
        key = int(firsts[index]), _digest(files[index]) or index
        firsts[index] = known.setdefault(key, index)
    return firsts


def _shared(firsts: np.ndarray) -> list[int]:
    """Returns the indices of those whose number is another's too."""
    return np.flatnonzero(np.bincount(firsts, minlength=len(firsts))[firsts] > 1).tolist()


def joined(groups: np.ndarray, contents: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns groups int64 [n] in which those that share a content are one, called by the least of their numbers.

    A class of which that would leave fewer than three groups, too few to be in every split, keeps its own.

    Args:
        groups: int64 [n].
        contents: int64 [n] in 0..n-1, equal for equal files.
        labels: The classes, int64 [n].
    """
    if len(np.unique(contents)) == len(contents):
        return groups
    found = _linked(groups, contents)
    few = np.flatnonzero(_counts(found, labels) < np.minimum(3, _counts(groups, labels)))
    alone = np.where(np.isin(labels, few), len(contents) + np.arange(len(contents)), contents)
    return _linked(groups, alone) if len(few) else found


def _counts(groups: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the number of groups of each class, int64 [classes]."""
    return np.bincount(np.unique(np.stack([labels, groups]), axis=1)[0])


def _linked(groups: np.ndarray, contents: np.ndarray) -> np.ndarray:
    names, own = np.unique(groups, return_inverse=True)
    kinds, held = np.unique(contents, return_inverse=True)
    links = coo_array((np.ones(len(own)), (own, len(names) + held)), shape=[len(names) + len(kinds)] * 2)
    parts = connected_components(links, directed=False)[1][: len(names)]
    least = np.full(parts.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(least, parts, names)
    return least[parts][own]


def _size(file: str | os.PathLike) -> int:
    try:
        return os.stat(file).st_size
    except OSError:
        return -1


def _head(file: str | os.PathLike, index: int) -> int:
    """Returns a number that equal beginnings of files share; a negative one of its own where a file cannot be read."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return -1 - index
    try:
        return zlib.crc32(os.read(handle, _HEAD))
    except OSError:
        return -1 - index
    finally:
        os.close(handle)


def _digest(file: str | os.PathLike) -> bytes | None:
    try:
        with open(file, "rb") as opened:
            return hashlib.file_digest(opened, hashlib.sha256).digest()
    except OSError:
        return None
