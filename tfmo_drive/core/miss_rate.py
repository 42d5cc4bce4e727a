"""How many pedestrians a detector misses at so many false alarms per image: Dollar, Wojek, Schiele and Perona 2012,
"Pedestrian detection: an evaluation of the state of the art", section 3.

A driver's question: the alarms that are bearable fix the threshold, and the threshold the share that is overlooked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfmo_drive.core.boxes import Detections, Truth
from tfmo_drive.core.coco_matching import evaluated, matches

ALARMS = np.logspace(-2, 0, 9)
"""False alarms per image at which the log-average is taken."""
_IOU, _MARGIN, _LEAST = 0, 1.25, 1e-10
"""Place of IoU 0.5 among COCO's thresholds; detections that much lower than the least height are left out (the paper's
expanded filtering); a miss rate of 0 has no logarithm, and the authors' code takes 1e-10."""


@dataclasses.dataclass(frozen=True)
class MissRate:
    """Of one class, each in [0, 1], lower is better; NaN where it has no objects."""

    at_tenth: float
    """Objects missed at 0.1 false alarms per image."""
    at_one: float
    log_average: float
    """Geometric mean of the miss rates at ALARMS."""
    objects: int


def miss_rate(
    detections: Sequence[Detections],
    truths: Sequence[Truth],
    label: int,
    least_height: float = 0.0,
    ignored: Sequence[np.ndarray] | None = None,
) -> MissRate:
    """Of class `label` over images, at IoU 0.5, with one Detections and one Truth each.

    Objects lower than `least_height` px, or true in `ignored` (bool [n] for each image: hidden ones), are treated as
    crowds: finding one is neither right nor wrong. A threshold lets equal scores pass together; of all thresholds with
    at most so many false alarms the lowest counts, and where even the first alarm is too many, all are missed.
    Raises ValueError for lists of unequal or no length.
    """
    kept = [_of_class(one, label, least_height / _MARGIN) for one in detections]
    hidden = ignored or [np.zeros(len(truth), bool) for truth in truths]
    asked = [_asked(truth, label, least_height, skip) for truth, skip in zip(truths, hidden, strict=True)]
    most = max([1, *map(len, kept)])
    found = matches(evaluated(kept, asked, 1, [(0, np.inf)], most), 0)
    objects = int(found.objects.sum())
    if not objects:
        return MissRate(np.nan, np.nan, np.nan, 0)
    order = np.argsort(-found.scores, kind="stable")
    ends = np.flatnonzero(np.diff(found.scores[order], append=-np.inf))
    missed = 1 - np.cumsum(found.hits[_IOU, order])[ends] / objects
    alarms = np.cumsum(found.misses[_IOU, order])[ends] / len(truths)
    at = np.append(1.0, missed)[np.searchsorted(alarms, [0.1, 1.0, *ALARMS], side="right")]
    average = float(np.exp(np.log(np.maximum(at[2:], _LEAST)).mean()))
    return MissRate(float(at[0]), float(at[1]), average, objects)


def _of_class(detections: Detections, label: int, least: float) -> Detections:
    high = detections.boxes[:, 3] - detections.boxes[:, 1] >= least
    kept = detections.at((detections.classes == label) & high)
    return dataclasses.replace(kept, classes=np.zeros(len(kept), np.int64))


def _asked(truth: Truth, label: int, least: float, hidden: np.ndarray) -> Truth:
    out = truth.crowd | hidden | (truth.boxes[:, 3] - truth.boxes[:, 1] < least)
    kept = dataclasses.replace(truth, crowd=out).at(truth.classes == label)
    return dataclasses.replace(kept, classes=np.zeros(len(kept), np.int64))
