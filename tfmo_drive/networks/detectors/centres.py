"""Builds an anchor-free detector: two outputs on one fine grid, their targets, and the loss between the two.

CenterNet (Zhou et al. 2019, "Objects as points"): a class's score is high at the cell of an object's centre. Distances
to the four sides are learnt on all cells near it, as in TTFNet (Liu et al. 2020, "Training-time-friendly network for
real-time object detection"), because that is what few epochs need. One grid and no anchors make two outputs; FCOS on
five levels would make fifteen, each with a range of its own to quantise and a loop of its own on the board.

Boxes are exponents: a side lies exp(z) pixels from the cell's centre with z in 0..6, so that 8 bits are exact to 2.4 %
of any distance from 1 to 403 pixels. Scores are logits, in an output of their own.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.data import detections
from tfmo_drive.data.boxes import Detections
from tfmo_drive.data.detections import BOXES, SCORES, STRIDE, Decoding
from tfmo_drive.networks import number_scale
from tfmo_drive.networks.decoders import pyramid, smooth
from tfmo_drive.networks.detectors.detector import PRIOR, Cells, Detector, flag, soft_scores

layers = keras.layers
LARGEST = 6.0
"""The largest exponent."""
_TYPICAL_PX = 10.0
"""The distance in pixels that every cell gives before training."""
_NEAR = 0.1
"""The height of an object's Gaussian above which cells learn its box."""
_BOX_WEIGHT = 5.0  # TTFNet, section 4.2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Centres(Detector):
    """Describes the anchor-free detector: scores and distances to the four sides in every cell of one grid.

    Example:
        >>> import tfmo_drive as td
        >>> td.Detection(detector=td.Centres()).output_names
        ('scores', 'boxes')
    """

    def heads(self, backbone: keras.Model, classes: int, channels: int) -> list:
        return heads(backbone, classes, channels)

    def encode(self, targets: dict, size: tuple[int, int], classes: int) -> dict:
        return encode(targets, detections.grid(size), classes)

    def loss(self, targets: dict, outputs: dict):
        return loss(targets, outputs)

    def distillation_loss(self, outputs: dict, teacher: dict, temperature: float):
        return distillation_loss(outputs, teacher, temperature)

    def found(self, outputs: Any, size: tuple[int, int], decoding: Decoding) -> list[Detections]:
        return decoding(outputs, size)

    def ends(self, size: tuple[int, int], classes: int) -> dict[str, tuple[int, ...]]:
        grid = detections.grid(size)
        return {SCORES: (*grid, classes), BOXES: (*grid, 4)}

    def described(self) -> dict[str, Any]:
        return {"stride": STRIDE, "rule": _RULE}

    def doubt(self, outputs: dict[str, np.ndarray], size: tuple[int, int]) -> str:
        seen = outputs[BOXES][outputs[SCORES].max(-1) >= np.quantile(outputs[SCORES].max(-1), 0.99)]
        if not np.median(seen) > np.log(4 * max(size)):
            return ""
        return (
            f"its {BOXES} on val are {number_scale.ranged(seen)} where it is surest; exponents of pixels are expected, "
            f"at most {np.log(max(size)):.1f} for an image of {max(size)}."
        )


_RULE = (
    "score = sigmoid(scores); sides = cell centre -+ exp(boxes) px (left, top, right, bottom), cell centre = "
    "(index + 0.5) * stride; clip to the image; keep cells that score highest among their 3 x 3 neighbours and at "
    "least least_score, the best candidates of them; then greedy suppression, class by class, above an overlap of iou, "
    "limit at most"
)


def heads(backbone: keras.Model, classes: int, channels: int) -> list:
    """Returns a detector's two outputs: logits and exponents of distances.

    Logits are [b, h / 4, w / 4, classes], exponents [b, h / 4, w / 4, 4] (left, top, right, bottom).
    """
    features = pyramid(backbone, channels, "detection")
    scores, boxes = (smooth(features, channels, f"{name}_smooth") for name in (SCORES, BOXES))
    scores = _end(scores, classes, math.log(PRIOR / (1 - PRIOR)), SCORES)
    boxes = _end(boxes, 4, math.log(_TYPICAL_PX), f"{BOXES}_conv")
    return [scores, layers.ReLU(LARGEST, name=BOXES)(boxes)]


def _end(features, count: int, start: float, name: str):
    """Applies a 1x1 convolution whose outputs are nearly `start` everywhere before training."""
    weights = keras.initializers.RandomNormal(0, 0.01)
    bias = keras.initializers.Constant(start)
    return layers.Conv2D(count, 1, kernel_initializer=weights, bias_initializer=bias, name=name)(features)


def encode(targets: dict, grid: tuple[int, int], classes: int) -> dict:
    """Computes what the outputs should be, in TensorFlow graph code.

    Args:
        targets: "boxes" float32 [b, m, 4] x0, y0, x1, y1 in pixels; "classes" int64 [b, m], -1 where there is none;
            "crowd" bool [b, m]: nothing is learnt from crowds, neither that they are there nor that they are not.
        grid: (rows, columns) of the outputs.
        classes: The number of classes.

    Returns:
        "heat" [b, rows, columns, classes] in [0, 1], 1 at objects' centres; "boxes" [b, rows, columns, 4] in pixels,
            those of the smallest object near each cell; "weights" [b, rows, columns], how much these count, 1 in all
            for every object that is the smallest anywhere; "objects" [b, rows, columns, 1], 1 inside and around
            objects; and "open" [b, rows, columns], 0 in crowds.
    """
    boxes, kinds = targets["boxes"], targets["classes"]
    there = (kinds >= 0) & ~targets["crowd"]
    crowds = Cells(boxes, (kinds >= 0) & targets["crowd"], grid)
    cells = Cells(boxes, there, grid)
    heat = tf.stack([tf.reduce_max(cells.near * flag(kinds == kind), axis=1) for kind in range(classes)], axis=-1)
    close = tf.where(cells.near > _NEAR, cells.near, 0.0)  # [b, m, rows, columns]
    area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    order = tf.where(close > 0, area[:, :, None, None], tf.float32.max)
    owner = tf.argmin(order, axis=1, output_type=tf.int32)  # [b, rows, columns]
    owned = close * tf.transpose(tf.one_hot(owner, boxes.shape[1]), [0, 3, 1, 2])
    share = owned / tf.maximum(tf.reduce_sum(owned, axis=[2, 3], keepdims=True), 1e-9)
    return {
        "heat": heat,
        "boxes": tf.gather(boxes, owner, batch_dims=1),
        "weights": tf.reduce_sum(share, axis=1),
        "objects": tf.reduce_max(cells.around, axis=1)[..., None],
        "open": 1 - tf.reduce_max(crowds.around, axis=1),
    }


def loss(targets: dict, outputs: dict):
    """Computes the focal loss of the scores plus 5 x (1 - GIoU) of the boxes, both by object.

    The focal loss is CenterNet's; GIoU is of Rezatofighi et al. 2019.
    """
    objects = tf.maximum(tf.reduce_sum(targets["weights"]), 1.0)
    apart = 1 - generalised_iou(targets["boxes"], decoded(outputs[BOXES]))
    boxes = tf.reduce_sum(targets["weights"] * apart) / objects
    return focal(targets["heat"], outputs[SCORES], targets["open"]) / objects + _BOX_WEIGHT * boxes


def distillation_loss(outputs: dict, teacher: dict, temperature: float):
    """Computes T^2 x `soft_scores` + 5 x `soft_boxes` against a teacher's outputs, by object that the teacher sees.

    It is on the scale of `loss`, so that a mix of the two by alpha weighs them as alpha says.
    """
    # The maximum before the sigmoid: TensorFlow's arithmetic optimizer would swap them the other way round, wrongly.
    best = tf.reduce_max(teacher[SCORES], axis=-1)
    sure = tf.sigmoid(best)
    peaks = tf.nn.max_pool2d(best[..., None], 3, 1, "SAME")[..., 0] == best
    seen = tf.maximum(tf.reduce_sum(tf.where(peaks, sure, 0.0)), 1.0)
    scores = soft_scores(outputs[SCORES] / temperature, teacher[SCORES] / temperature, sure) / seen
    return temperature**2 * scores + _BOX_WEIGHT * soft_boxes(outputs[BOXES], teacher[BOXES], sure)


def soft_boxes(student, teacher, sure):
    """Computes 1 - GIoU between two outputs of boxes, as a mean over cells weighted by the square of `sure`.

    The weights leave out the boxes that a teacher gives where it sees no object, which are noise.
    """
    weights = tf.square(sure)
    apart = 1 - generalised_iou(decoded(teacher), decoded(student))
    return tf.reduce_sum(weights * apart) / tf.maximum(tf.reduce_sum(weights), 1e-6)


def focal(heat, logits, open_):
    """Computes the penalty-reduced focal loss, as a sum over all cells: CenterNet, eq. 1, alpha = 2, beta = 4.

    Args:
        heat: The wanted scores in [0, 1], [b, rows, columns, classes].
        logits: The model's logits, of the same shape.
        open_: [b, rows, columns], 0 where a score is neither right nor wrong.
    """
    yes, no = tf.math.log_sigmoid(logits), tf.math.log_sigmoid(-logits)
    score = tf.sigmoid(logits)
    centre = tf.cast(heat > 1 - 1e-6, tf.float32)
    hit = centre * tf.square(1 - score) * yes
    missed = (1 - centre) * tf.pow(1 - heat, 4.0) * tf.square(score) * no
    return -tf.reduce_sum(tf.reduce_sum(hit, axis=-1) + open_ * tf.reduce_sum(missed, axis=-1))


def decoded(exponents):
    """Returns boxes in pixels, float32 [b, rows, columns, 4] x0, y0, x1, y1, from the boxes' output."""
    rows, columns = exponents.shape[1:3]
    y, x = tf.meshgrid((tf.range(rows, dtype=tf.float32) + 0.5) * STRIDE,
                       (tf.range(columns, dtype=tf.float32) + 0.5) * STRIDE, indexing="ij")  # fmt: skip
    distances = tf.exp(exponents)
    sides = [x - distances[..., 0], y - distances[..., 1], x + distances[..., 2], y + distances[..., 3]]
    return tf.stack(sides, axis=-1)


def generalised_iou(truth, found):
    """Returns the GIoU in (-1, 1] of boxes [..., 4]."""
    left, top = tf.maximum(truth[..., 0], found[..., 0]), tf.maximum(truth[..., 1], found[..., 1])
    right, bottom = tf.minimum(truth[..., 2], found[..., 2]), tf.minimum(truth[..., 3], found[..., 3])
    common = tf.maximum(right - left, 0) * tf.maximum(bottom - top, 0)
    areas = [(one[..., 2] - one[..., 0]) * (one[..., 3] - one[..., 1]) for one in (truth, found)]
    union = areas[0] + areas[1] - common
    hull = (tf.maximum(truth[..., 2], found[..., 2]) - tf.minimum(truth[..., 0], found[..., 0])) * (
        tf.maximum(truth[..., 3], found[..., 3]) - tf.minimum(truth[..., 1], found[..., 1])
    )
    union, hull = tf.maximum(union, 1e-6), tf.maximum(hull, 1e-6)
    return common / union - (hull - union) / hull


def joined(model: keras.Model, name: str) -> keras.Model:
    """Returns a model of the same layers with one output `name` [b, cells, 4 + classes].

    It holds boxes in pixels, then scores in [0, 1].
    """
    scores, boxes = model.outputs
    cells = scores.shape[1] * scores.shape[2]
    parts = [
        layers.Reshape((cells, 4), name="boxes_px")(decoded(boxes)),
        layers.Reshape((cells, scores.shape[-1]), name="scores_01")(tf.sigmoid(scores)),
    ]
    return keras.Model(model.inputs, layers.Concatenate(name=name)(parts), name=model.name)
