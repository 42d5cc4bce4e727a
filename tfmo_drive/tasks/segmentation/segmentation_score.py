"""Computes mean intersection over union, as PASCAL VOC does (Everingham et al. 2010, section 4.1.3).

The score of some images is no mean over them: intersections and unions are summed first. So what is kept of each image
is its counts, and any choice of images (a resample, a slice) is scored by a product of matrices.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfmo_drive.data.mask_files import IGNORE


@dataclasses.dataclass(frozen=True)
class Overlaps:
    """Counts the pixels of n images by class, ignored ones left out, each float64 [n, classes].

    Args:
        right: Pixels of the class that are answered right.
        truth: Pixels of the class.
        answers: Pixels that are answered as the class.
    """

    right: np.ndarray
    truth: np.ndarray
    answers: np.ndarray

    @property
    def unions(self) -> np.ndarray:
        """Returns the unions of truth and answers, float64 [n, classes]."""
        return self.truth + self.answers - self.right

    def scores(self, weights: np.ndarray) -> np.ndarray:
        """Returns the mean IoUs of choices of the images, float64 [k].

        The mean is over the classes that the chosen images truly show; it is NaN where they show none.

        Args:
            weights: float64 [k, n], how often each image is sampled; 0 or 1 for a slice.
        """
        truth, unions = weights @ self.truth, weights @ self.unions
        ious = np.divide(weights @ self.right, unions, out=np.zeros_like(truth), where=truth > 0)
        shown = (truth > 0).sum(axis=1)
        return np.divide(ious.sum(axis=1), shown, out=np.full(len(truth), np.nan), where=shown > 0)

    @property
    def values(self) -> np.ndarray:
        """Returns each image's own mean IoU, float64 [n], for ranking them; 1 for an image that is ignored whole."""
        ious = np.divide(self.right, self.unions, out=np.zeros_like(self.truth), where=self.truth > 0)
        shown = (self.truth > 0).sum(axis=1)
        return np.divide(ious.sum(axis=1), shown, out=np.ones(len(shown)), where=shown > 0)

    def per_class(self, names: Sequence[str]) -> dict[str, dict[str, float]]:
        """Returns {"road": {"score": IoU, "examples": images that show it}} for the classes that some image shows."""
        right, unions, shown = self.right.sum(axis=0), self.unions.sum(axis=0), (self.truth > 0).sum(axis=0)
        return {
            name: {"score": float(right[label] / unions[label]), "examples": int(shown[label])}
            for label, name in enumerate(names)
            if shown[label]
        }

    @property
    def pixel_accuracy(self) -> float:
        """Returns the share of all pixels that is right; NaN where all are ignored."""
        total = self.truth.sum()
        return float(self.right.sum() / total) if total else float("nan")


def overlaps(outputs: np.ndarray, masks: np.ndarray, classes: int) -> Overlaps:
    """Counts outputs (as `decided` takes them) against masks uint8 [n, h, w]: 0..classes-1, or IGNORE."""
    counts = np.zeros((3, len(masks), classes))
    for index, mask in enumerate(masks):
        answers = decided(outputs[index : index + 1], mask.shape)[0]
        known = mask != IGNORE
        truth, answers = mask[known], answers[known]
        for place, found in enumerate((truth[truth == answers], truth, answers[answers < classes])):
            counts[place, index] = np.bincount(found, minlength=classes)
    return Overlaps(*counts)


def decided(outputs: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns the class of every pixel, uint8 [n, *size].

    Logits of a smaller size are made larger before the arg max, not after (Chen et al. 2017, arXiv:1706.05587, section
    4.1), bilinearly with half-pixel centres, as TensorFlow Lite's RESIZE_BILINEAR would in the graph: edges between
    classes run straight, not in steps. Ids cannot be blended and take the nearest.

    Args:
        outputs: Logits float [n, h, w, classes], or ids int [n, h, w].
        size: (height, width) of the result in pixels.
    """
    if outputs.ndim == 3:
        rows, columns = (_nearest(old, new) for old, new in zip(outputs.shape[1:], size, strict=True))
        return outputs[:, rows][:, :, columns].astype(np.uint8)
    found = np.empty((len(outputs), *size), np.uint8)
    for place, logits in zip(found, outputs, strict=True):
        place[:] = _largest(_stretched(np.ascontiguousarray(logits.transpose(2, 0, 1)), 1, size[0]), size[1])
    return found


def _largest(planes: np.ndarray, width: int) -> np.ndarray:
    """Returns the first arg max over planes [classes, h, w] made `width` wide, uint8 [h, width]; IGNORE for all NaN.

    It goes plane by plane, because an arg max over the last axis of a few classes takes twice as long.
    """
    best = _stretched(planes[0], 1, width)
    found = np.where(np.isnan(best), np.uint8(IGNORE), np.uint8(0))
    for label, plane in enumerate(planes[1:], start=1):
        wide = _stretched(plane, 1, width)
        found[(wide > best) | ((found == IGNORE) & ~np.isnan(wide))] = label
        best = np.fmax(best, wide)
    return found


def _nearest(old: int, new: int) -> np.ndarray:
    return ((np.arange(new) + 0.5) * old / new).astype(np.int64)


def _stretched(values: np.ndarray, axis: int, length: int) -> np.ndarray:
    """Stretches an axis linearly, with half-pixel centres and edges held."""
    old = values.shape[axis]
    if old == length:
        return values
    places = np.clip((np.arange(length) + 0.5) * old / length - 0.5, 0, old - 1)
    low = places.astype(np.int64)
    part = (places - low).astype(np.float32).reshape([-1 if axis == other else 1 for other in range(values.ndim)])
    below, above = values.take(low, axis), values.take(np.minimum(low + 1, old - 1), axis)
    return below + (above - below) * part
