"""Turns a detector's two outputs into detections, and truths into arrays of one shape.

This code runs behind the quantised graph, on a board's CPU, so there is no TensorFlow in it; an artifact's metadata
says the same in words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import scipy.ndimage

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.boxes import Detections, Truth, nms

SCORES, BOXES = "scores", "boxes"
"""The names of a detector's outputs."""
FIELDS = ("boxes", "classes", "crowd", "areas")
"""The fields of truths as arrays (`padded`), in the order in which a Truth has them."""
STRIDE = 4
"""The side of a grid's cell in pixels of the image."""
JOINED = "detections"
"""The name of a naive export's only output: boxes in pixels and scores side by side (centres.joined)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decoding:
    """Decodes maps of scores and distances into boxes.

    A cell counts where its score is the highest among its 3 x 3 neighbours and at least `least_score`. The best
    `candidates` cells become boxes; a box that overlaps a better one of its class by more than `iou` is dropped, and at
    most `limit` stay. `least_score` and `iou` are in [0, 1).

    Example:
        >>> import tfmo_drive as td
        >>> td.Decoding(iou=0.5).iou
        0.5
    """

    least_score: float = 0.02
    candidates: int = 300
    iou: float = 0.6
    limit: int = 100

    def __post_init__(self):
        for name in ("least_score", "iou"):
            if not 0 <= getattr(self, name) < 1:
                raise BadInput(f"Decoding.{name} must be in [0, 1), got {getattr(self, name)}.")
        for name in ("candidates", "limit"):
            if getattr(self, name) < 1:
                raise BadInput(f"Decoding.{name} must be at least 1, got {getattr(self, name)}.")

    def __call__(self, outputs: Mapping[str, np.ndarray] | np.ndarray, size: tuple[int, int]) -> list[Detections]:
        """Returns one Detections for each image, with boxes clipped to it.

        Args:
            outputs: Logits [n, rows, columns, classes] and exponents of distances [n, rows, columns, 4] by name; or the
                same as a single output, [n, rows * columns, 4 + classes]: boxes in pixels and scores in [0, 1].
            size: (height, width) of the images in pixels.
        """
        if isinstance(outputs, Mapping):
            scores, boxes = sigmoid(outputs[SCORES]), decoded(outputs[BOXES])
        else:
            maps = (len(outputs), *grid(size))
            boxes, scores = outputs[..., :4].reshape(*maps, 4), outputs[..., 4:].reshape(*maps, -1)
        scores = _known(scores, boxes)
        peaks = scipy.ndimage.maximum_filter(scores, size=(1, 3, 3, 1), mode="constant")
        cells = len(scores), scores.shape[1] * scores.shape[2]
        found = np.where(scores == peaks, scores, 0)
        return self.suppressed(found.reshape(*cells, scores.shape[-1]), boxes.reshape(*cells, 4), size)

    def suppressed(self, scores: np.ndarray, boxes: np.ndarray, size: tuple[int, int]) -> list[Detections]:
        """Returns one Detections for each image of what is left of any boxes, clipped to it.

        Args:
            scores: float [n, k, classes], 0 where nothing is.
            boxes: float [n, k, 4] in pixels.
            size: (height, width) of the images in pixels.
        """
        height, width = size
        scores = _known(scores, boxes)
        boxes = np.clip(boxes, 0, np.float32([width, height, width, height]))
        found = np.where(scores >= self.least_score, scores, 0)
        return [self._image(*one) for one in zip(found, boxes, strict=True)]

    def _image(self, scores: np.ndarray, boxes: np.ndarray) -> Detections:
        places, kinds = np.nonzero(scores)
        values = scores[places, kinds]
        best = np.argsort(-values, kind="stable")[: self.candidates]
        places, kinds, values = places[best], kinds[best], values[best]
        placed = boxes[places]
        kept = nms(placed, values, kinds, self.iou, self.limit)
        return Detections(placed[kept], values[kept], kinds[kept])


def grid(size: tuple[int, int]) -> tuple[int, int]:
    """Returns (rows, columns) of the cells that cover an image of `size` (height, width); the last may be cut."""
    return -(-size[0] // STRIDE), -(-size[1] // STRIDE)


def _known(scores: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Returns the scores with 0 where they or their boxes are not numbers: NaN is no detection."""
    return np.where(np.isfinite(scores) & ~np.isnan(boxes).any(axis=-1, keepdims=True), scores, 0)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Returns the logistic function of `logits`, float32 in [0, 1]."""
    return (0.5 * (1 + np.tanh(0.5 * np.asarray(logits, np.float32)))).astype(np.float32)


def decoded(exponents: np.ndarray) -> np.ndarray:
    """Returns boxes x0, y0, x1, y1 in pixels, float32 [n, rows, columns, 4].

    Args:
        exponents: float [n, rows, columns, 4]; a side lies exp(z) pixels from its cell's centre.
    """
    rows, columns = exponents.shape[1:3]
    y, x = np.meshgrid((np.arange(rows) + 0.5) * STRIDE, (np.arange(columns) + 0.5) * STRIDE, indexing="ij")
    centres = np.stack([x, y, x, y], axis=-1).astype(np.float32)
    return centres + np.exp(exponents.astype(np.float32)) * np.float32([-1, -1, 1, 1])


def padded(truths: Sequence[Truth], most: int = 0) -> np.ndarray:
    """Returns truths of one shape: a structured array [n] with `most` objects each.

    Its fields are boxes float32 [m, 4], classes int64 [m] (-1: no object), crowd bool [m] and areas float32 [m].

    Args:
        truths: The objects of each image.
        most: The number of objects that an image can have, of which the largest stay; 0 takes as many as the richest
            image has.
    """
    most = most or max((len(truth) for truth in truths), default=1) or 1
    kinds = ((np.float32, (most, 4)), (np.int64, most), (bool, most), (np.float32, most))
    rows = np.zeros(len(truths), [(field, *kind) for field, kind in zip(FIELDS, kinds, strict=True)])
    rows["classes"] = -1
    for row, truth in zip(rows, truths, strict=True):
        kept = truth.at(np.sort(np.argsort(-truth.areas, kind="stable")[:most]))
        for field in FIELDS:
            row[field][: len(kept)] = getattr(kept, field)
    return rows


def truths(targets: Mapping[str, np.ndarray]) -> list[Truth]:
    """Returns the truths that `padded` was given, from its fields as arrays [n, m, ...] by name."""
    return [Truth(*(targets[field][i][there] for field in FIELDS)) for i, there in enumerate(targets["classes"] >= 0)]
