"""Holds what all detectors share: what a detector is, the mask of objects, and what soft scores of a teacher teach."""

from __future__ import annotations

import abc
from typing import Any

import numpy as np

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.data.boxes import Detections
from tfmo_drive.data.detections import BOXES, SCORES, STRIDE, Decoding

PRIOR = 0.1
"""The score of every cell before training: Lin et al. 2017, "Focal loss for dense object detection", section 4.1, as
CenterNet."""
_SPREAD = 0.54 / 6
"""The standard deviation of an object's Gaussian as a share of its side: TTFNet, section 4.1."""
_AROUND = 1.25
"""The factor by which boxes are widened for the object mask."""


class Detector(abc.ABC):
    """Says what a detector's two outputs are: how a network ends, what it learns, and how its answers become boxes.

    Scores are logits in an output of their own, whose sigmoid is the score: classes do not exclude one another.
    """

    @abc.abstractmethod
    def heads(self, backbone: keras.Model, classes: int, channels: int) -> list:
        """Returns the two outputs, scores and boxes, on a backbone; `channels` is the width of what leads to them."""

    @abc.abstractmethod
    def encode(self, targets: dict, size: tuple[int, int], classes: int) -> dict:
        """Computes what the outputs should be, in TensorFlow graph code.

        Args:
            targets: "boxes" float32 [b, m, 4] x0, y0, x1, y1 in pixels; "classes" int64 [b, m], -1 where there is none;
                "crowd" bool [b, m]: nothing is learnt from crowds, neither that they are there nor that they are not.
            size: (height, width) of the images in pixels.
            classes: The number of classes.

        Returns:
            What `loss` takes, and "objects", the object mask.
        """

    @abc.abstractmethod
    def loss(self, targets: dict, outputs: dict):
        """Computes the loss of a batch from `encode`'s targets."""

    @abc.abstractmethod
    def distillation_loss(self, outputs: dict, teacher: dict, temperature: float):
        """Computes the loss of a batch against a teacher's outputs, on the scale of `loss`."""

    @abc.abstractmethod
    def found(self, outputs: Any, size: tuple[int, int], decoding: Decoding) -> list[Detections]:
        """Returns one Detections for each image, with boxes clipped to it."""

    @abc.abstractmethod
    def ends(self, size: tuple[int, int], classes: int) -> dict[str, tuple[int, ...]]:
        """Returns the outputs' shapes by name, without the batch's axis."""

    def silent(self, count: int, size: tuple[int, int], classes: int) -> dict[str, np.ndarray]:
        """Returns the outputs for `count` images in which nothing is found."""
        ends, values = self.ends(size, classes), {SCORES: np.float32(-100), BOXES: np.float32(0)}
        return {name: np.broadcast_to(value, (count, *ends[name])) for name, value in values.items()}

    @abc.abstractmethod
    def described(self) -> dict[str, Any]:
        """Returns what a board must know to decode the outputs, in JSON types, with a "rule" in words."""

    def doubt(self, outputs: dict[str, np.ndarray], size: tuple[int, int]) -> str:
        """Says why a given model's boxes cannot be of this kind, in a sentence; "" where they can."""
        return ""


def object_mask(targets: dict, grid: tuple[int, int]):
    """Returns 1 inside and around the objects of each image, float32 [b, rows, columns, 1]; crowds are none."""
    there = (targets["classes"] >= 0) & ~targets["crowd"]
    return tf.reduce_max(Cells(targets["boxes"], there, grid).around, axis=1)[..., None]


def flag(condition):
    """Returns conditions [b, m] as 0 and 1 that spread over rows and columns, float32 [b, m, 1, 1]."""
    return tf.cast(condition, tf.float32)[:, :, None, None]


class Cells:
    """Computes for every object and cell how near they are, and whether the cell is inside or around.

    Both are float32 [b, m, rows, columns].
    """

    def __init__(self, boxes, there, grid: tuple[int, int]):
        rows, columns = (tf.range(count, dtype=tf.float32) for count in grid)
        across = self._along(boxes[..., 0], boxes[..., 2], columns)
        down = self._along(boxes[..., 1], boxes[..., 3], rows)
        exist = flag(there)
        self.near = exist * down[0][..., None] * across[0][:, :, None]
        self.around = exist * down[1][..., None] * across[1][:, :, None]

    @staticmethod
    def _along(low, high, cells) -> tuple:
        """Returns the Gaussian [b, m, cells] about the cell of the centre, and 1 inside and around."""
        middle, side = (low + high) / 2 / STRIDE, tf.maximum((high - low) / STRIDE, 1e-3)
        centre = tf.clip_by_value(tf.floor(middle), 0.0, float(cells.shape[0] - 1))
        spread = _SPREAD * side
        near = tf.exp(-tf.square(cells - centre[..., None]) / (2 * tf.square(spread))[..., None])
        inside = tf.abs(cells + 0.5 - middle[..., None]) <= tf.maximum(_AROUND * side / 2, 0.5)[..., None]
        return near, tf.cast(inside, tf.float32)


def soft_scores(student, teacher, sure):
    """Computes the divergence between the sigmoids of two models' logits, as a sum over cells.

    Logits are [b, rows, columns, classes]. They go through sigmoids, because classes do not exclude one another. Each
    cell is weighted by how sure the teacher is of any object there, [b, rows, columns] in [0, 1], since nearly all
    cells are background (Chen et al. 2017, "Learning efficient object detection models with knowledge distillation").
    """
    wanted = tf.sigmoid(teacher)
    apart = tf.nn.sigmoid_cross_entropy_with_logits(wanted, student)
    least = tf.nn.sigmoid_cross_entropy_with_logits(wanted, teacher)  # the teacher's entropy teaches nothing
    return tf.reduce_sum(sure * tf.reduce_sum(apart - least, axis=-1))
