"""Finds files that are copies of one another byte by byte, so that splits that are drawn part none of them."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

_HEAD = 4096
"""The bytes that are compared first: most files of equal length differ there."""


def same_content(files: Sequence[Path]) -> np.ndarray:
    """Returns a number for each file, int64 [n], equal where files hold the same bytes.

    Files that share their length with no other are not opened; what cannot be read is like no other.
    """
    keys: list[tuple] = [_size(file, index) for index, file in enumerate(files)]
    for length in (_HEAD, None):
        counts = Counter(keys)
        for index, key in enumerate(keys):
            if counts[key] > 1:
                keys[index] = (*key, _digest(files[index], length) or index)
    firsts: dict[tuple, int] = {}
    return np.array([firsts.setdefault(key, index) for index, key in enumerate(keys)], np.int64)


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


def _size(file: Path, index: int) -> tuple[int, ...]:
    try:
        return (os.stat(file).st_size,)
    except OSError:
        return (-1, index)


def _digest(file: Path, length: int | None) -> bytes | None:
    try:
        with open(file, "rb") as opened:
            return hashlib.sha256(opened.read(length)).digest()
    except OSError:
        return None
