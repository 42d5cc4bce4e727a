"""Which images are neighbours in one recording: near-duplicates, so they are drawn and judged as blocks, never singly.

Block cross-validation: Roberts et al. 2017, "Cross-validation strategies for data with temporal, spatial, hierarchical,
or phylogenetic structure".
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence

import numpy as np

BLOCK, LEAST = 20, 20
"""Frames of a block at most, and blocks that a set is cut into at least: fewer groups make no interval."""
_NUMBER = re.compile(r"(\d+)(\D*)$")


def blocks(names: Sequence[str], sizes: Sequence[Hashable]) -> np.ndarray:
    """The block of each image: int64 [n], from 0. `names` are file names, `sizes` anything that says width and height.

    A recording is what differs in the last number of its name alone (0016E5_00390.png, 0016E5_00420.png) and is of one
    size throughout, as one camera makes it; photographs of many sizes are a block each. A recording is cut in the
    order of its numbers into blocks of equal length: a twentieth of all images, at most 20. Where two blocks meet,
    their frames are still alike, and blocks of one short drive are: intervals over them are too narrow.
    """
    recordings: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for index, name in enumerate(names):
        stem, _, suffix = name.rpartition(".")
        found = _NUMBER.search(stem)
        key = (stem[: found.start()], f"{found[2]}.{suffix}") if found else (name, "")
        recordings.setdefault(key, []).append((int(found[1]) if found else 0, index))
    longest = max(1, min(BLOCK, len(names) // LEAST))
    groups, count = np.empty(len(names), np.int64), 0
    for _, frames in sorted(recordings.items()):
        members = np.array([index for _, index in sorted(frames)])
        recorded = len({sizes[index] for index in members}) == 1
        pieces = -(-len(members) // longest) if recorded else len(members)
        for part in np.array_split(members, pieces):
            groups[part] = count
            count += 1
    return groups
