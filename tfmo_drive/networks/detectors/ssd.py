"""Builds a single-shot detector: SSD (Liu et al. 2016) in the light form of MobileNetV2 (Sandler et al. 2018, 6.2).

Every cell of several maps answers for the default boxes that stand in it (data.default_boxes): which class, and how far
the object's box is off. "Lite": the convolutions that answer are depthwise and 1x1 ones. The maps of a backbone are
followed by coarser ones of its own. As TensorFlow's detection models do, scores are sigmoids without a class for the
background, and all maps' answers are joined into two outputs, so that a board reads two tensors.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.data import default_boxes, detections
from tfmo_drive.data.boxes import Detections
from tfmo_drive.data.detections import BOXES, SCORES, Decoding
from tfmo_drive.networks.decoders import feature_maps
from tfmo_drive.networks.detectors import detector
from tfmo_drive.networks.networks import BN_EPSILON

layers = keras.layers
_NEGATIVES = 3
"""The default boxes without an object, of the largest losses, that count for each one with: "hard negative mining"."""
_FEWEST = 8
"""The least number of default boxes without an object that count in an image, which may show none."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SSD(detector.Detector):
    """Describes SSDLite's head; the maps of strides up to 32 are the backbone's, coarser ones its own.

    What no default box overlaps by half is hardly learnt, and nothing says so but the score: the finest map's boxes
    must be about as large as the smaller objects. The defaults suit frames of a hundred pixels or two, in which half
    of the objects are smaller than 7 pixels. At 300 pixels the published detector has strides of 16 to 512.

    Args:
        strides: The sides of the maps' cells in pixels, each twice the one before.
        scale: The side of a map's default boxes in its cells.
        ratios: Width over height of the default boxes.
        overlap: The intersection over union from which a default box is an object's: 0.5 in section 2.2 of SSD; less
            gives small objects more boxes (Zhang et al. 2017, "S3FD: Single shot scale-invariant face detector").

    Example:
        >>> import tfmo_drive as td
        >>> td.SSD(strides=(16, 32, 64)).scale
        1.5
    """

    strides: tuple[int, ...] = (4, 8, 16, 32)
    scale: float = 1.5
    ratios: tuple[float, ...] = (1.0, 2.0, 0.5, 0.33)
    overlap: float = 0.5

    def __post_init__(self):
        doubled = all(later == 2 * earlier for earlier, later in zip(self.strides, self.strides[1:], strict=False))
        if len(self.strides) < 2 or self.strides[0] not in (4, 8, 16, 32) or not doubled:
            raise BadInput(f"SSD.strides must be two or more, begin at 4, 8, 16 or 32 and double, got {self.strides}.")
        if not 0 < self.scale <= 16:
            raise BadInput(f"SSD.scale must be in (0, 16], got {self.scale}.")
        if not self.ratios or not all(0.1 <= ratio <= 10 for ratio in self.ratios):
            raise BadInput(f"SSD.ratios must be numbers from 0.1 to 10, got {self.ratios}.")
        if not 0 < self.overlap < 1:
            raise BadInput(f"SSD.overlap must be in (0, 1), got {self.overlap}.")

    def default_boxes(self, size: tuple[int, int]) -> np.ndarray:
        """Returns the default boxes of images of (height, width) pixels, float32 [n, 4], as data.default_boxes does."""
        return default_boxes.placed(size, self.strides, self.scale, self.ratios)

    def heads(self, backbone: keras.Model, classes: int, channels: int) -> list:
        """Returns logits [b, n, classes] and offsets [b, n, 4] of n default boxes."""
        maps, answers = feature_maps(backbone), {SCORES: [], BOXES: []}
        x = backbone.output
        for stride in self.strides:
            x = maps[stride] if stride in maps else _halved(x, channels, f"ssd_map{stride}")
            for name, count in ((SCORES, classes), (BOXES, 4)):
                answers[name].append(self._answered(x, count, f"ssd_{name}{stride}"))
        return [layers.Concatenate(axis=1, name=name)(found) for name, found in answers.items()]

    def _answered(self, features, count: int, name: str):
        """Returns the answers of one map, [b, cells * shapes, count]."""
        shapes = len(self.ratios) + 1
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{name}_depthwise")(features)
        x = _normed(x, f"{name}_depthwise")
        start = math.log(detector.PRIOR / (1 - detector.PRIOR)) if SCORES in name else 0.0
        weights, bias = keras.initializers.RandomNormal(0, 0.01), keras.initializers.Constant(start)
        x = layers.Conv2D(
            shapes * count, 1, kernel_initializer=weights, bias_initializer=bias, name=f"{name}_conv"
        )(x)  # fmt: skip
        return layers.Reshape((x.shape[1] * x.shape[2] * shapes, count), name=f"{name}_rows")(x)

    def encode(self, targets: dict, size: tuple[int, int], classes: int) -> dict:
        """Computes what the outputs should be.

        Returns:
            "classes" [b, n, classes], 1 for the class of the object that a default box is matched to; "offsets" [b, n,
            4] of its box; "matched" and "open" [b, n], 1 where there is an object, and 0 in crowds; "objects", the
            object mask.
        """
        boxes, kinds = targets["boxes"], targets["classes"]
        there, crowd = (kinds >= 0) & ~targets["crowd"], (kinds >= 0) & targets["crowd"]
        placed = tf.constant(self.default_boxes(size))
        corners = tf.concat([placed[:, :2] - placed[:, 2:] / 2, placed[:, :2] + placed[:, 2:] / 2], axis=-1)
        common, union = _overlap(boxes, corners)  # [b, m, n]
        ious = tf.where(there[..., None], common / tf.maximum(union, 1e-6), -1.0)
        nearest = tf.one_hot(tf.argmax(ious, axis=-1), len(placed)) * tf.cast(there, tf.float32)[..., None]
        ious = tf.where(nearest > 0, 1.0 + ious, ious)  # an object's best default box is its own at any overlap
        owner, best = tf.argmax(ious, axis=1), tf.reduce_max(ious, axis=1)
        matched = best >= self.overlap
        inside = common / tf.maximum(placed[:, 2] * placed[:, 3], 1e-6) > self.overlap
        in_crowd = tf.reduce_any(inside & crowd[..., None], axis=1) & ~matched
        kind = tf.where(matched, tf.gather(kinds, owner, batch_dims=1), -1)
        return {
            "classes": tf.one_hot(kind, classes),
            "offsets": _offsets(tf.gather(boxes, owner, batch_dims=1), placed),
            "matched": tf.cast(matched, tf.float32),
            "open": 1 - tf.cast(in_crowd, tf.float32),
            "objects": detector.object_mask(targets, detections.grid(size)),
        }

    def loss(self, targets: dict, outputs: dict):
        """Computes SSD's eq. 1: cross entropy with hard negatives plus smooth L1 of the offsets, by matched box."""
        matched = targets["matched"]
        apart = tf.nn.sigmoid_cross_entropy_with_logits(targets["classes"], outputs[SCORES])
        apart = tf.reduce_sum(apart, axis=-1)
        negative = targets["open"] * (1 - matched)
        hardest = tf.argsort(tf.argsort(tf.stop_gradient(apart) * negative, direction="DESCENDING"))
        counted = tf.maximum(_NEGATIVES * tf.reduce_sum(matched, axis=1, keepdims=True), _FEWEST)
        negative *= tf.cast(tf.cast(hardest, tf.float32) < counted, tf.float32)
        off = tf.reduce_sum(matched * _smooth(targets["offsets"] - outputs[BOXES]))
        return (tf.reduce_sum((matched + negative) * apart) + off) / tf.maximum(tf.reduce_sum(matched), 1.0)

    def distillation_loss(self, outputs: dict, teacher: dict, temperature: float):
        """Computes T^2 x `detector.soft_scores` plus smooth L1 of the offsets, where the teacher sees something."""
        sure = tf.sigmoid(tf.reduce_max(teacher[SCORES], axis=-1))
        seen = tf.maximum(tf.reduce_sum(tf.square(sure)), 1.0)
        scores = detector.soft_scores(outputs[SCORES] / temperature, teacher[SCORES] / temperature, sure)
        off = tf.reduce_sum(tf.square(sure) * _smooth(teacher[BOXES] - outputs[BOXES]))
        return (temperature**2 * scores + off) / seen

    def found(self, outputs: Any, size: tuple[int, int], decoding: Decoding) -> list[Detections]:
        boxes = default_boxes.decoded(outputs[BOXES], self.default_boxes(size))
        return decoding.suppressed(detections.sigmoid(outputs[SCORES]), boxes, size)

    def ends(self, size: tuple[int, int], classes: int) -> dict[str, tuple[int, ...]]:
        rows = len(self.default_boxes(size))
        return {SCORES: (rows, classes), BOXES: (rows, 4)}

    def described(self) -> dict[str, Any]:
        return {"strides": self.strides, "scale": self.scale, "ratios": self.ratios, "rule": _RULE}


_RULE = (
    "default boxes: map by map of strides, row by row, column by column, in the middle of each cell, then shape by "
    "shape: sides scale * stride * sqrt(ratio) and scale * stride / sqrt(ratio) for each of ratios, and the square of "
    "sqrt(2) * scale * stride; score = sigmoid(scores); centre = default's + boxes[:2] / 10 * its sides; sides = its "
    "sides * exp(min(boxes[2:] / 5, 4)); clip to the image; of those that score at least least_score the best "
    "candidates; then greedy suppression, class by class, above an overlap of iou, limit at most"
)


def _halved(x, channels: int, name: str):
    """Returns a map of half the rows and columns: 1x1, depthwise with stride 2, 1x1."""
    x = _normed(layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_in_conv")(x), f"{name}_in")
    x = layers.DepthwiseConv2D(3, 2, "same", use_bias=False, name=f"{name}_depthwise")(x)
    x = _normed(x, f"{name}_depthwise")
    return _normed(layers.Conv2D(2 * channels, 1, use_bias=False, name=f"{name}_out_conv")(x), f"{name}_out")


def _normed(x, name: str):
    x = layers.BatchNormalization(epsilon=BN_EPSILON, momentum=0.9, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)


def _overlap(boxes, corners) -> tuple:
    """Returns the common and the united area of boxes [b, m, 4] with default boxes [n, 4], each [b, m, n]."""
    boxes = boxes[:, :, None]
    low, high = tf.maximum(boxes[..., :2], corners[:, :2]), tf.minimum(boxes[..., 2:], corners[:, 2:])
    common = tf.reduce_prod(tf.maximum(high - low, 0), axis=-1)
    areas = [tf.reduce_prod(one[..., 2:] - one[..., :2], axis=-1) for one in (boxes, corners)]
    return common, areas[0] + areas[1] - common


def _offsets(boxes, placed):
    """Returns how far boxes [b, n, 4] are from their default boxes [n, 4]; `default_boxes.decoded` inverts it."""
    centre, sides = (boxes[..., :2] + boxes[..., 2:]) / 2, tf.maximum(boxes[..., 2:] - boxes[..., :2], 1e-3)
    moved = (centre - placed[:, :2]) / placed[:, 2:] / default_boxes.CENTRE_VARIANCE
    grown = tf.math.log(sides / placed[:, 2:]) / default_boxes.SIDE_VARIANCE
    return tf.concat([moved, grown], axis=-1)


def _smooth(difference):
    """Computes smooth L1 over the last axis (Girshick 2015, "Fast R-CNN", eq. 3)."""
    size = tf.abs(difference)
    return tf.reduce_sum(tf.where(size < 1, 0.5 * tf.square(size), size - 0.5), axis=-1)
