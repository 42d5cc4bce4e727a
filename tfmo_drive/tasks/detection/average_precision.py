"""Computes average precision under example weights: what pycocotools gives for thousands of resamples of the images.

mAP is no mean over images and still needs intervals and slices. Images are weighted 0, 1, 2, ...: how often each is
sampled. Matching is per image, so it is done once (coco_matching); what changes is the order of all detections by
score, and how many objects there are. The rules are those of pycocotools' `accumulate`: precision made falling from the
right, read at recall 0, 0.01, ..., 1.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfmo_drive.tasks.detection.coco_matching import Matches

RECALLS = np.linspace(0, 1, 101)
_CELLS = 1 << 21
"""The number of detections' weights held at once: 16 MB."""


def average_precision(matches: Matches, weights: np.ndarray) -> np.ndarray:
    """Returns the mean over IoU thresholds of one class's average precision for each row of `weights`: float64 [k].

    It lies in [0, 1], and is NaN where no object is left. A whole weight of w is the image w times in a row, to the
    order of equal scores; a fraction counts as part of a detection.

    Args:
        matches: The class's detections.
        weights: float64 [k, images], at least 0.
    """
    weights = np.ascontiguousarray(np.asarray(weights, np.float64).T)
    columns = _columns(matches, int(np.ceil(weights.max(initial=0))))
    rows = max(1, _CELLS // max(1, len(columns.detections)))
    starts = range(0, weights.shape[1], rows)
    parts = [_of_rows(matches, columns, weights[:, start : start + rows]) for start in starts]
    return np.concatenate([np.zeros(0), *parts])


@dataclasses.dataclass(frozen=True)
class _Columns:
    """Holds detections by falling score; those whose copies must stay apart come once for each copy."""

    detections: np.ndarray
    copies: np.ndarray
    """The number of the copy, from 0; -1 stands for all of them."""


def _columns(matches: Matches, most: int) -> _Columns:
    """Returns the detections in pycocotools' order: by score, by image, by the copy of the image, by place in it.

    Where equal scores of one image are hits and misses, copies alternate (hit, miss, hit, miss), which passes through
    other precisions than (hit, hit, miss, miss) does. An int8 graph has at most 256 scores, so this is no rare case.
    Everywhere else only the last copy can set the precision, so that one column will do.
    """
    order = np.argsort(-matches.scores, kind="stable")
    scores, images = matches.scores[order], matches.images[order]
    starts = (np.diff(scores, prepend=np.nan) != 0) | (np.diff(images, prepend=-1) != 0)
    runs = np.cumsum(starts) - 1
    first = np.flatnonzero(starts)
    mixed = np.zeros(len(first), bool)
    if len(first):
        kinds = [np.logical_or.reduceat(kind[:, order], first, axis=1) for kind in (matches.hits, matches.misses)]
        mixed = (kinds[0] & kinds[1]).any(axis=0)
    times = np.where(mixed[runs], max(1, most), 1)
    places = np.repeat(np.arange(len(order)), times)
    copies = np.arange(len(places)) - np.repeat(np.cumsum(times) - times, times)
    sequence = np.lexsort((places, copies, runs[places]))
    places, copies = places[sequence], copies[sequence]
    return _Columns(order[places], np.where(mixed[runs[places]], copies, -1))


def _of_rows(matches: Matches, columns: _Columns, weights: np.ndarray) -> np.ndarray:
    """Returns the average precision [k] for weights [images, k]; detections run down the rows here, which is faster."""
    objects = matches.objects @ weights
    sampled = weights[matches.images[columns.detections]]
    apart = columns.copies >= 0
    sampled[apart] = np.clip(sampled[apart] - columns.copies[apart, None], 0, 1)
    hits, misses = matches.hits[:, columns.detections], matches.misses[:, columns.detections]
    total = np.zeros(weights.shape[1])
    counted = None
    for hit, miss in zip(hits, misses, strict=True):
        if counted is None or (counted != (hit | miss)).any():  # mostly all thresholds count the same detections
            counted = hit | miss
            kept, until = sampled[counted], np.cumsum(sampled[counted], axis=0)
        found = hit[counted]
        right = np.cumsum(kept[found], axis=0)
        precision = right / (until[found] + np.spacing(1))
        precision = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
        reached = np.searchsorted(RECALLS, right / np.where(objects > 0, objects, 1), side="right")
        total += (precision * np.diff(reached, axis=0, prepend=0)).sum(axis=0) / len(RECALLS)
    return np.where(objects > 0, total / len(hits), np.nan)
