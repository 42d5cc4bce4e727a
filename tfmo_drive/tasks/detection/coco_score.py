"""Scores a detector by COCO's measure (Lin et al. 2014, arXiv:1405.0312; https://cocodataset.org/#detection-eval).

mAP: the average precision at IoU 0.50, 0.55, ..., 0.95, averaged over these and over classes, by pycocotools.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import numpy as np

from tfmo_drive.data.boxes import Detections, Truth
from tfmo_drive.tasks.detection.average_precision import average_precision
from tfmo_drive.tasks.detection.coco_matching import evaluated, matches

MOST = 100
"""The number of detections per image and class that count: COCO's maxDets."""
SIZES = ("small", "medium", "large")
_COCO_SIDE, _SMALL, _MEDIUM = 640.0, 32.0, 96.0
"""COCO's images are 640 px on their longer side; objects are small below 32^2 px of area, medium below 96^2."""


class CocoScore:
    """Evaluates detections once; then numbers, resamples and single images are read from the result.

    `image_side` is the longer side, in px, of the pixel frame in which all boxes and areas are given. COCO's limits of
    small and medium scale with it, so that an object has one size whatever the frame: at 320 px they are 16^2 and 48^2.
    """

    def __init__(
        self,
        detections: Sequence[Detections],
        truths: Sequence[Truth],
        class_names: Sequence[str],
        image_side: float = _COCO_SIDE,
        sizes: bool = True,
    ) -> None:
        """Evaluates the detections of each image against its objects.

        Args:
            detections: The detections of each image.
            truths: The objects of each image.
            class_names: The classes' names.
            image_side: The longer side of the images in pixels.
            sizes: Whether there are numbers by size, which take four times as long.

        Raises:
            ValueError: The lists are of unequal or no length.
        """
        small, medium = ((side * image_side / _COCO_SIDE) ** 2 for side in (_SMALL, _MEDIUM))
        everything = 1e5**2  # pycocotools' own bound
        limits = [(0, everything), (0, small), (small, medium), (medium, everything)]
        judge = evaluated(detections, truths, len(class_names), limits if sizes else limits[:1], MOST)
        with contextlib.redirect_stdout(io.StringIO()):
            judge.accumulate()
        self._precision = judge.eval["precision"][..., 0]  # [thresholds, recalls, classes, sizes], -1: no object
        self._matches = [matches(judge, label) for label in range(len(class_names))]
        self._detections, self._names = detections, tuple(class_names)

    def numbers(self) -> dict[str, float]:
        """Returns score (the mAP), ap50, ap_small, ap_medium and ap_large, in [0, 1].

        A number without any object is left out.
        """
        p = self._precision
        parts = {"score": p[..., 0], "ap50": p[0, ..., 0]}
        parts |= {f"ap_{size}": p[..., place] for place, size in zip(range(1, p.shape[-1]), SIZES, strict=False)}
        return {name: float(part[part > -1].mean()) for name, part in parts.items() if (part > -1).any()}

    def per_class(self) -> dict[str, dict[str, float]]:
        """Returns {name: {"score", "ap50", "examples"}} for the classes that have objects."""
        return {
            name: {
                "score": float(self._precision[:, :, label, 0].mean()),
                "ap50": float(self._precision[0, :, label, 0].mean()),
                "examples": int(self._matches[label].objects.sum()),
            }
            for label, name in enumerate(self._names)
            if self._matches[label].objects.any()
        }

    def scores(self, weights: np.ndarray) -> np.ndarray:
        """Returns the mAP of resamples of the same images, for intervals and slices: float64 [k].

        Each is what pycocotools gives for the images so repeated; a class counts only where an object of it is sampled,
        and without any the score is NaN.

        Args:
            weights: float64 [k, n], how often each image is sampled (0, 1, 2, ...), or 1 in a slice and 0 outside.
        """
        by_class = np.stack([average_precision(one, weights) for one in self._matches])
        known = np.isfinite(by_class)
        counts = known.sum(axis=0)
        sums = np.where(known, by_class, 0).sum(axis=0)
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

    def image_values(self, threshold: float) -> np.ndarray:
        """Returns the F1 of each image at IoU 0.5 over all classes, float64 [n] in [0, 1].

        Detections scored `threshold` or more count.

        It is 2 hits / (2 hits + false alarms + objects not found), and 1 where there is no object and no detection. It
        ranks images; its mean is not the mAP.
        """
        images = len(self._detections)
        hits, wrong = np.zeros(images), np.zeros(images)
        for one in self._matches:
            said = one.scores >= threshold
            hits += np.bincount(one.images[one.hits[0] & said], minlength=images)
            wrong += np.bincount(one.images[one.misses[0] & said], minlength=images)
            wrong += one.objects
        wrong -= hits
        return np.where(hits + wrong > 0, 2 * hits / np.maximum(2 * hits + wrong, 1), 1.0)

    def image_counts(self, threshold: float) -> np.ndarray:
        """Returns how many of each class are detected with a score of `threshold` or more: int64 [n, classes]."""
        said = [one.classes[one.scores >= threshold] for one in self._detections]
        return np.stack([np.bincount(labels, minlength=len(self._names)) for labels in said]).astype(np.int64)
