"""Computes how many pedestrians a detector misses at so many false alarms per image.

Dollar, Wojek, Schiele and Perona 2012, "Pedestrian detection: an evaluation of the state of the art", section 3. It
answers a driver's question: the alarms that are bearable fix the threshold, and the threshold the share that is
overlooked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfmo_drive.data.boxes import Detections, Truth
from tfmo_drive.tasks.detection.coco_matching import evaluated, matches

ALARMS = np.logspace(-2, 0, 9)
"""The false alarms per image at which the log-average is taken."""
_IOU, _LEAST = 0, 1e-10
"""The place of IoU 0.5 among COCO's thresholds; and what stands for a miss rate of 0, which has no logarithm, as in the
authors' code."""


@dataclasses.dataclass(frozen=True)
class MissRate:
    """Holds the miss rates of one class, each in [0, 1], lower is better; NaN where it has no objects."""

    at_tenth: float
    """The share of objects missed at 0.1 false alarms per image."""
    at_one: float
    log_average: float
    """The geometric mean of the miss rates at ALARMS."""
    objects: int


def miss_rate(detections: Sequence[Detections], truths: Sequence[Truth], label: int) -> MissRate:
    """Returns the miss rates of class `label` over images, at IoU 0.5.

    Finding a crowd is neither right nor wrong. A threshold lets equal scores pass together; of all thresholds with at
    most so many false alarms the lowest counts, and where even the first alarm is too many, all objects are missed.

    Args:
        detections: The detections of each image.
        truths: The objects of each image.
        label: The class's index.

    Raises:
        ValueError: The lists are of unequal or no length.
    """
    kept, asked = ([_of_class(one, label) for one in many] for many in (detections, truths))
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


def _of_class(one: Detections | Truth, label: int) -> Detections | Truth:
    kept = one.at(one.classes == label)
    return dataclasses.replace(kept, classes=np.zeros(len(kept), np.int64))
