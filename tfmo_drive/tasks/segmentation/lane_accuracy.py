"""Scores masks of lanes as TuSimple's benchmark does (evaluate/lane.py of github.com/TuSimple/tusimple-benchmark).

There, a lane is an x in each of 56 rows of a picture of 1280 x 720, every tenth from 160 on. A row is right where
answer and truth are less than 20 / cos(angle) pixels apart, the angle being that of the true lane's regression line
against the vertical, or where both have no lane. A true lane's accuracy is that of the answered lane that suits it
best, over all rows; an image's is the mean over its lanes, the worst of five left out; it is 0 with more than two lanes
too many. A true lane below 0.85 is missed, an answered one that finds none is false.

What differs is where lanes come from: both truth and answer are read off masks, the truth from the one that its points
were drawn into. From the lowest row of the mask up, the middles of its runs of lane pixels are followed as lanes: a run
goes on with the lane that, along its own slope, meets it, also across a gap of a twelfth of the height. So lanes that
touch are one from there on, and rounding to the mask's pixels costs a part of the 20. An answer that spans fewer than
six of the rows, which is no more than such a gap, is a speck and no lane; a true lane has three at least. Images
without a true lane have no accuracy; the benchmark has none of them.
"""

from __future__ import annotations

import numpy as np

from tfmo_drive.data.mask_files import IGNORE

WIDTH, HEIGHT = 1280, 720
ROWS = np.arange(160, 720, 10)
"""The rows in which lanes are compared, of HEIGHT."""
PIXELS, MATCHED = 20.0, 0.85
"""How far apart answer and truth may be, in columns of WIDTH; the least accuracy of a lane that is found."""
NONE = -100.0
"""The x of a row without a lane, which is near no other; the benchmark takes the same."""
_TRUE, _ANSWERED = 3, 6
"""The fewest rows of a true lane, and of an answered one."""
_GAP, _SLOPE = 12, 8
"""The part of the height that a gap may be; the points that tell a lane's slope."""


def lane_numbers(answers: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """Returns lane_accuracy, lane_false and lane_missed, means over the images that show a lane; {} where none does.

    Args:
        answers: uint8 [n, h, w]: 1 on lanes.
        masks: uint8 [n, h, w]: 1 on lanes, and IGNORE outside the picture.
    """
    found = []
    for answer, mask in zip(answers, masks, strict=True):
        seen = mask != IGNORE
        inside = np.ix_(seen.any(axis=1), seen.any(axis=0))
        if len(truth := lanes_in(mask[inside] == 1, _TRUE)):
            found.append(bench(lanes_in((answer[inside] == 1) & seen[inside], _ANSWERED), truth))
    names = ("lane_accuracy", "lane_false", "lane_missed")
    return dict(zip(names, np.mean(found, axis=0).tolist(), strict=True)) if found else {}


def bench(answers: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Returns an image's accuracy, and the shares of answered lanes that are false and of true ones that are missed.

    Both are lanes as `lanes_in` returns them, float64 [lanes, rows]; there is a true one at least.
    """
    if len(truth) + 2 < len(answers):
        return 0.0, 0.0, 1.0
    bounds = np.array([PIXELS / np.cos(_angle(lane)) for lane in truth])
    near = np.abs(answers[None] - truth[:, None]) < bounds[:, None, None]
    best = near.mean(axis=2).max(axis=1, initial=0.0)
    missed, most = int((best < MATCHED).sum()), min(len(truth), 4)
    found = len(truth) - missed
    spared = len(truth) > 4
    right = best.sum() - (best.min() if spared else 0.0)
    false = (len(answers) - found) / len(answers) if len(answers) else 0.0
    return float(right / most), false, max(0, missed - spared) / most


def _angle(lane: np.ndarray) -> float:
    """Returns the angle of a lane's regression line against the vertical, in radians."""
    known = lane >= 0
    return float(np.arctan(np.polyfit(ROWS[known], lane[known], 1)[0])) if known.sum() > 1 else 0.0


def lanes_in(mask: np.ndarray, least: int) -> np.ndarray:
    """Returns the lanes of a mask, float64 [lanes, rows]: the x in columns of WIDTH of each of ROWS, or NONE.

    Args:
        mask: bool [h, w], True on lanes.
        least: The fewest of ROWS that a lane spans.
    """
    height, width = mask.shape
    rows = ((ROWS + 0.5) * height / HEIGHT).astype(int)
    found = []
    for track in map(dict, _tracks(mask)):
        lane = np.array([track.get(row, NONE) for row in rows.tolist()])
        lane[lane >= 0] = (lane[lane >= 0] + 0.5) * WIDTH / width - 0.5
        if (lane >= 0).sum() >= least:
            found.append(lane)
    return np.array(found).reshape(-1, len(ROWS))


def _tracks(mask: np.ndarray) -> list[list[tuple[int, float]]]:
    """Returns the lanes of a mask, each (row, column) after (row, column) from its lowest row up."""
    gap = max(1, len(mask) // _GAP)
    tracks: list[list[tuple[int, float]]] = []
    halves: list[float] = []
    waiting: list[int] = []
    for row in range(len(mask) - 1, -1, -1):
        runs = _runs(mask[row])
        waiting = [place for place in waiting if tracks[place][-1][0] - row <= gap]
        reached = np.array([_reached(tracks[place], row) for place in waiting])
        apart = np.abs(reached[:, None] - runs[None, :, 0])
        near = apart <= runs[None, :, 1] + np.array([halves[place] for place in waiting])[:, None] + 0.5
        pairs = sorted((apart[place, run], place, run) for place, run in np.argwhere(near).tolist())
        mates: dict[int, int] = {}
        for _, place, run in pairs:
            if run not in mates and waiting[place] not in mates.values():
                mates[run] = waiting[place]
        for run, (middle, half) in enumerate(runs.tolist()):
            place = mates.get(run, len(tracks))
            if place == len(tracks):
                tracks.append([])
                halves.append(half)
                waiting.append(place)
            tracks[place].append((row, middle))
            halves[place] = half
    return tracks


def _runs(line: np.ndarray) -> np.ndarray:
    """Returns the middle and half the length of every run of True, in columns, float64 [runs, 2]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(np.int8), [0]]))).reshape(-1, 2)
    return np.stack([(edges.sum(axis=1) - 1) / 2, (edges[:, 1] - edges[:, 0]) / 2], axis=1)


def _reached(track: list[tuple[int, float]], row: int) -> float:
    """Returns the column at which a lane would be in a row above it, along its last points."""
    (first, start), (last, column) = track[-_SLOPE:][0], track[-1]
    return column if first == last else column + (column - start) * (row - last) / (last - first)
