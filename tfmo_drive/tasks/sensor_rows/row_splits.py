"""Splits stretches of rows into train, val and test, by whole groups and never by single rows.

Neighbouring rows of one recording are nearly the same (Roberts et al. 2017, "Cross-validation strategies for data with
temporal, spatial, hierarchical, or phylogenetic structure": block cross-validation).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.splitting import FRACTIONS, SPLITS, sampled
from tfmo_drive.tasks.sensor_rows.packed_rows import Runs

TRAIN, UNKNOWN = 0, -1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stretches:
    """Cuts rows without a group column into stretches of equal length, each a group of its own.

    Args:
        count: The number of stretches, roughly.
        gap: The number of rows left out where a stretch follows one of another split, for rows that look back or ahead.
    """

    count: int = 100
    gap: int = 0

    def __post_init__(self):
        if self.count < 3:
            raise BadInput(f"Stretches.count must be at least 3, got {self.count}.")
        if self.gap < 0:
            raise BadInput(f"Stretches.gap must be at least 0 rows, got {self.gap}.")


def divided(runs: Runs, stretches: Stretches, seed: int, source: str) -> Runs:
    """Returns `runs` with every row in a group and in a split; a missing split is sampled, group by group.

    As with images, missing val and test are sampled out of train. Raises BadInput where a group is in two splits, or a
    split stays empty.
    """
    runs, origin = _cut(runs, stretches)
    _refuse_shared_groups(runs, source)
    shares = {SPLITS[place]: FRACTIONS[SPLITS[place]] for place in (1, 2) if place not in runs.split}
    free = np.isin(runs.split, (UNKNOWN, TRAIN))
    names = sampled(np.zeros(free.sum(), np.int64), runs.group[free], shares, seed)
    split = runs.split.copy()
    split[free] = [SPLITS.index(name) for name in names]
    runs = _parted(runs._replace(split=split), origin, stretches.gap)
    for place, name in enumerate(SPLITS):
        if place not in runs.split:
            raise BadInput(
                f"{source}: no rows for {name}, out of {len(np.unique(runs.group)):,} groups. Drawing splits needs at "
                "least 3 groups: add rows, lower task.stretches.gap, or give the splits in a column."
            )
    return runs


def _cut(runs: Runs, stretches: Stretches) -> tuple[Runs, np.ndarray]:
    """Returns ungrouped runs in pieces that are groups, numbered after all others, and the run that each came from."""
    longest = max(1, -(-int((runs.end - runs.first).sum()) // stretches.count))
    loose = runs.group == UNKNOWN
    pieces = np.where(loose, -(-(runs.end - runs.first) // longest), 1)
    origin = np.repeat(np.arange(len(pieces)), pieces)
    place = np.arange(len(origin)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    whole = runs.at(origin)
    first = np.where(loose[origin], whole.first + place * longest, whole.first)
    end = np.where(loose[origin], np.minimum(first + longest, whole.end), whole.end)
    group = np.where(loose[origin], runs.group.max(initial=UNKNOWN) + 1 + np.arange(len(origin)), whole.group)
    return Runs(first, end, group, whole.split), origin


def _refuse_shared_groups(runs: Runs, source: str) -> None:
    pairs = np.unique(np.stack([runs.group, runs.split]), axis=1)
    if len(np.unique(pairs[0])) < pairs.shape[1]:
        raise BadInput(f"{source}: a group is in two splits. Rows of one group must stay in one split.")


def _parted(runs: Runs, origin: np.ndarray, gap: int) -> Runs:
    """Returns runs without the first `gap` rows of a piece behind one of another split of the same run."""
    follows = (np.diff(origin, prepend=-1) == 0) & (np.diff(runs.split, prepend=runs.split[:1]) != 0)
    first = runs.first + gap * follows
    return runs._replace(first=first).at(first < runs.end)
