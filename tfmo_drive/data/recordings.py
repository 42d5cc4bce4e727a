"""Groups neighbouring frames of a recording, which are near-duplicates, so that they are split and resampled as blocks.

Block cross-validation: Roberts et al. 2017, "Cross-validation strategies for data with temporal, spatial, hierarchical,
or phylogenetic structure".
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence

import numpy as np

BLOCK, LEAST = 20, 20
"""The largest number of frames in a block, and the smallest number of blocks: fewer groups make no interval."""
_NUMBER = re.compile(r"(\d+)(\D*)$")


def blocks(names: Sequence[str], sizes: Sequence[Hashable]) -> np.ndarray:
    """Returns the block of each image, int64 [n] from 0.

    A recording is what differs in the last number of its name alone (0016E5_00390.png, 0016E5_00420.png) and is of one
    size throughout, as one camera makes it; photographs of many sizes are a block each. A recording is cut in the order
    of its numbers into blocks of equal length: a twentieth of all images, at most 20. Where two blocks meet, their
    frames are still alike, and blocks of one short drive are: intervals over them are too narrow.

    Args:
        names: The images' file names.
        sizes: Any values that tell the images' width and height apart.
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
