"""Matches detections to objects by pycocotools, COCO's own evaluation (https://cocodataset.org/#detection-eval).

Image by image and class by class, from the highest score down, a detection takes the free object of largest IoU, if
that reaches the threshold. One that lies on a crowd (by its own area, not the union) is neither right nor wrong.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tfmo_drive.data.boxes import Detections, Truth


@dataclasses.dataclass(frozen=True)
class Matches:
    """Holds the detections of one class in all images: image after image, in each by falling score."""

    images: np.ndarray
    """int64 [d]"""
    scores: np.ndarray
    """float64 [d]"""
    hits: np.ndarray
    """bool [thresholds, d]: on an object that nothing better took."""
    misses: np.ndarray
    """bool [thresholds, d]: on nothing. What is neither lies on a crowd and does not count."""
    objects: np.ndarray
    """int64 [images]: how many are to be found; a crowd is not."""


def evaluated(
    detections: Sequence[Detections],
    truths: Sequence[Truth],
    classes: int,
    limits: Sequence[tuple[float, float]],
    most: int,
) -> COCOeval:
    """Returns pycocotools' evaluation after matching.

    Args:
        detections: The detections of each image.
        truths: The objects of each image, in the same pixels.
        classes: The number of classes.
        limits: Ranges of object area in square pixels, evaluated one by one.
        most: The number of detections per image and class that count.

    Raises:
        ValueError: A number is not finite, or the lists are of unequal or no length.
    """
    if not detections or len(detections) != len(truths):
        raise ValueError(f"As many detections as truths are needed, got {len(detections)} and {len(truths)}.")
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        judge = COCOeval(_coco(truths, classes), _coco(detections, classes), "bbox")
        judge.params.areaRng, judge.params.maxDets = [list(limit) for limit in limits], [most]
        judge.evaluate()
    return judge


def matches(judge: COCOeval, label: int) -> Matches:
    """Returns the matches of class `label`, in the first range of areas."""
    images, ranges = len(judge.params.imgIds), len(judge.params.areaRng)
    found = judge.evalImgs[label * ranges * images :][:images]
    thresholds = len(judge.params.iouThrs)
    parts = [(i, one) for i, one in enumerate(found) if one is not None]
    counts = [len(one["dtScores"]) for _, one in parts]
    matched = [np.zeros((thresholds, 0)), *(one["dtMatches"] for _, one in parts)]
    ignored = [np.zeros((thresholds, 0)), *(one["dtIgnore"] for _, one in parts)]
    hits, out = np.concatenate(matched, axis=1) > 0, np.concatenate(ignored, axis=1) > 0
    objects = np.zeros(images, np.int64)
    for i, one in parts:
        objects[i] = np.count_nonzero(one["gtIgnore"] == 0)
    return Matches(
        np.repeat(np.array([i for i, _ in parts], np.int64), counts),
        np.array([score for _, one in parts for score in one["dtScores"]], np.float64),
        hits & ~out,
        ~hits & ~out,
        objects,
    )


def _coco(found: Sequence[Detections] | Sequence[Truth], classes: int) -> COCO:
    """Returns what pycocotools would have read from a file."""
    made = COCO()
    made.dataset = {
        "images": [{"id": image} for image in range(len(found))],
        "categories": [{"id": label} for label in range(classes)],
        "annotations": list(_annotations(found)),
    }
    made.createIndex()
    return made


def _annotations(found: Sequence[Detections] | Sequence[Truth]) -> Iterator[dict[str, Any]]:
    key = 0
    for image, one in enumerate(found):
        truth = isinstance(one, Truth)
        boxes = np.asarray(one.boxes, np.float64).reshape(-1, 4)
        sides = boxes[:, 2:] - boxes[:, :2]
        sizes = np.asarray(one.areas, np.float64) if truth else sides.prod(axis=1)
        more = one.crowd if truth else np.asarray(one.scores, np.float64)
        if not (np.isfinite(boxes).all() and np.isfinite(more).all()):
            raise ValueError(f"Boxes and scores must be finite numbers, those of image {image} are not.")
        rows = zip(np.concatenate([boxes[:, :2], sides], axis=1).tolist(), sizes, one.classes, more, strict=True)
        for box, area, label, value in rows:
            key += 1  # from 1: pycocotools takes an object of id 0 for no object
            kind = {"iscrowd": int(value)} if truth else {"score": float(value)}
            yield {"id": key, "image_id": image, "category_id": int(label), "bbox": box, "area": float(area), **kind}
