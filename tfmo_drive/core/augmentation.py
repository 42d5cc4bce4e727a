"""Random views of training images, as TensorFlow graph code keyed by (seed, epoch, index), never by a global state.

Stateful random operations under a parallel `map` give other weights on every run, so the random numbers are an input.
One batched ImageProjectiveTransformV3 (the operator under Keras's own RandomRotation) does all the geometry.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from tfmo_drive.contracts import BadInput
from tfmo_drive.core.keras2 import tf

COLUMNS = 16
"""Random numbers per example. Each kind of change has its own, so that switching one on leaves the others alike."""

_LIMITS = {  # field: (highest value, itself allowed)
    "shift": (1, False),
    "zoom": (1, False),
    "shear_degrees": (90, False),
    "rotation_degrees": (180, True),
    "brightness": (255, True),
    "contrast": (1, True),
    "downscale": (1, True),
}


def randoms(seed: int, epoch: int, count: int, columns: int = COLUMNS) -> np.ndarray:
    """float32 [count, columns] in [0, 1): row i depends on (seed, epoch, columns, i) alone, not on `count`."""
    return np.random.default_rng([seed, epoch]).random((count, columns), np.float32)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Strengths of the random changes; 0 or False switches one off.

    shift: at most this fraction of the side, each way. zoom: scale in 1 -+ zoom. brightness: -+ this many levels.
    contrast: factor in 1 -+ contrast about the image's mean. flip: left-right, half of the time; off where left and
    right differ in meaning (signs, lanes). downscale: the probability of half the resolution, as of a far object.
    """

    shift: float = 0.08
    zoom: float = 0.1
    shear_degrees: float = 5.0
    rotation_degrees: float = 0.0
    brightness: float = 30.0
    contrast: float = 0.3
    flip: bool = False
    downscale: float = 0.0

    def __post_init__(self) -> None:
        for field, (highest, allowed) in _LIMITS.items():
            got = getattr(self, field)
            if not (0 <= got < highest or (allowed and got == highest)):
                raise BadInput(f"Augmentation.{field} must be in [0, {highest}{']' if allowed else ')'}, got {got}.")

    def apply(self, images: tf.Tensor, randoms: tf.Tensor) -> tf.Tensor:
        """Changed images of the same shape and range: float32 [b, h, w, 3] in 0..255, `randoms` float32 [b, 16]."""
        if self.shift or self.zoom or self.shear_degrees or self.rotation_degrees or self.flip:
            images = tf.raw_ops.ImageProjectiveTransformV3(
                images=images,
                transforms=self._transforms(tf.shape(images), randoms),
                output_shape=tf.shape(images)[1:3],
                fill_value=0.0,
                interpolation="BILINEAR",
                fill_mode="NEAREST",
            )
        if self.downscale:
            images = tf.where(randoms[:, 8, None, None, None] < self.downscale, _halved(images), images)
        if self.brightness or self.contrast:
            swings = (randoms[:, 6:8] * 2 - 1)[:, None, None, :]
            means = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
            images += (images - means) * (self.contrast * swings[..., 1:]) + self.brightness * swings[..., :1]
            images = tf.clip_by_value(images, 0.0, 255.0)
        return images

    def _transforms(self, shape: tf.Tensor, randoms: tf.Tensor) -> tf.Tensor:
        """float32 [b, 8]: where each output pixel is read; one 2x2 matrix about the centre, and a shift."""
        height, width = tf.cast(shape[1], tf.float32), tf.cast(shape[2], tf.float32)
        swings = randoms * 2 - 1
        right, down = swings[:, 0] * self.shift * width, swings[:, 1] * self.shift * height
        scale = 1 / (1 + self.zoom * swings[:, 2])
        shear = tf.tan(math.radians(self.shear_degrees) * swings[:, 3])
        angle = math.radians(self.rotation_degrees) * swings[:, 4]
        mirror = tf.where(randoms[:, 5] < 0.5, -1.0, 1.0) if self.flip else tf.ones_like(scale)
        cosine, sine = tf.cos(angle) * scale, tf.sin(angle) * scale
        # mirror x rotation x shear, row by row
        a, b = mirror * cosine, mirror * (cosine * shear - sine)
        c, d = sine, sine * shear + cosine
        centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
        x = centre_x - a * (centre_x + right) - b * (centre_y + down)
        y = centre_y - c * (centre_x + right) - d * (centre_y + down)
        zero = tf.zeros_like(a)
        return tf.stack([a, b, x, c, d, y, zero, zero], axis=1)


def _halved(images: tf.Tensor) -> tf.Tensor:
    small = tf.nn.avg_pool2d(images, ksize=2, strides=2, padding="SAME")
    return tf.image.resize(small, tf.shape(images)[1:3], method="bilinear")
