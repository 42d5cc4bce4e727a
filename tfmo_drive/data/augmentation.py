"""Augments training images in TensorFlow graph code, by random numbers that depend on (seed, epoch, index) alone.

Stateful random operations under a parallel `map` give other weights on every run, so the random numbers are an input.
One batched ImageProjectiveTransformV3 (the operator under Keras's own RandomRotation) does all the geometry.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from tfmo_drive.base.keras2 import tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.boxes import VISIBLE

COLUMNS = 16
"""The count of random numbers per example. Each kind of change has its own, so that switching one on leaves the others
as they are."""

_LIMITS = {  # field: (highest value, itself allowed)
    "shift": (1, False),
    "zoom": (1, False),
    "shear_degrees": (90, False),
    "rotation_degrees": (180, True),
    "brightness": (255, True),
    "contrast": (1, True),
    "downscale": (1, True),
    "colour": (1, False),
    "mosaic": (1, True),
}


def randoms(seed: int, epoch: int, count: int, columns: int = COLUMNS) -> np.ndarray:
    """Returns random numbers float32 [count, columns] in [0, 1).

    Row i depends on (seed, epoch, columns, i) alone, not on `count`.
    """
    return np.random.default_rng([seed, epoch]).random((count, columns), np.float32)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Sets the strengths of the random changes to training images; 0 or False switches one off.

    Args:
        shift: The largest shift each way, as a fraction of the side, in [0, 1).
        zoom: The scale lies in 1 -+ zoom, in [0, 1).
        shear_degrees: The largest shear each way, in [0, 90).
        rotation_degrees: The largest rotation each way, in [0, 180].
        brightness: The largest change each way in grey levels, in [0, 255].
        contrast: The factor about the image's mean lies in 1 -+ contrast, in [0, 1].
        flip: Whether left and right change sides half of the time; leave it off where they differ in meaning (signs,
            lanes).
        downscale: The probability of half the resolution, as of a far object, in [0, 1].
        colour: The factor of red, green and blue each lies in 1 -+ colour, as of another light, in [0, 1).
        mosaic: The probability that an image is one of four at half their size, the other three being its batch's next
            (Bochkovskiy et al. 2020, "YOLOv4", section 3.3), in [0, 1]; for boxes and masks alone.

    Raises:
        BadInput: A strength is outside its range.

    Example:
        >>> import tfmo_drive as td
        >>> td.Augmentation(flip=True, brightness=0).flip
        True
    """

    shift: float = 0.08
    zoom: float = 0.1
    shear_degrees: float = 5.0
    rotation_degrees: float = 0.0
    brightness: float = 30.0
    contrast: float = 0.3
    flip: bool = False
    downscale: float = 0.0
    colour: float = 0.0
    mosaic: float = 0.0

    def __post_init__(self) -> None:
        for field, (highest, allowed) in _LIMITS.items():
            got = getattr(self, field)
            if not (0 <= got < highest or (allowed and got == highest)):
                raise BadInput(f"Augmentation.{field} must be in [0, {highest}{']' if allowed else ')'}, got {got}.")

    def apply(self, images: tf.Tensor, randoms: tf.Tensor) -> tf.Tensor:
        """Returns changed images of the same shape and range.

        Args:
            images: float32 [b, h, w, channels] in 0..255; a fourth channel is moved, but its light is not changed.
            randoms: float32 [b, 16] in [0, 1), from `randoms`.
        """
        if self.mosaic:
            images = self._tiled(images, tf.nn.avg_pool2d(images, 2, 2, "VALID"), randoms)
        if self.moves:
            images = self._moved(images, randoms, "BILINEAR")
        if self.downscale:
            images = tf.where(randoms[:, 8, None, None, None] < self.downscale, _halved(images), images)
        if self.colour:
            gains = 1 + self.colour * (randoms[:, 10:13] * 2 - 1)[:, None, None, :]
            coloured = tf.clip_by_value(images[..., :3] * gains[..., : images.shape[-1]], 0.0, 255.0)
            images = tf.concat([coloured, images[..., 3:]], axis=-1)
        if self.brightness or self.contrast:
            swings = (randoms[:, 6:8] * 2 - 1)[:, None, None, :]
            lit, kept = images[..., :3], images[..., 3:]
            means = tf.reduce_mean(lit, axis=(1, 2, 3), keepdims=True)
            lit += (lit - means) * (self.contrast * swings[..., 1:]) + self.brightness * swings[..., :1]
            images = tf.concat([tf.clip_by_value(lit, 0.0, 255.0), kept], axis=-1)
        return images

    def mirrored(self, randoms: tf.Tensor) -> tf.Tensor:
        """Returns, bool [b], which images have their left and right exchanged."""
        return (randoms[:, 5] < 0.5) & self.flip

    @property
    def moves(self) -> bool:
        """Says whether any change moves pixels."""
        return bool(self.shift or self.zoom or self.shear_degrees or self.rotation_degrees or self.flip)

    def move_masks(self, masks: tf.Tensor, randoms: tf.Tensor) -> tf.Tensor:
        """Returns masks uint8 [b, h, w] moved as `apply` moves their images by the same `randoms`."""
        if not (self.moves or self.mosaic):
            return masks
        masks = masks[..., None]
        if self.mosaic:
            height, width = masks.shape[1] // 2, masks.shape[2] // 2
            masks = self._tiled(masks, masks[:, 1::2, 1::2][:, :height, :width], randoms)
        return (self._moved(masks, randoms, "NEAREST") if self.moves else masks)[..., 0]

    def tile_truths(self, truths: Mapping[str, tf.Tensor], size: tuple[int, int], randoms: tf.Tensor) -> dict:
        """Returns truths of the images that `apply` makes of four by the same `randoms`, before it moves them.

        Args:
            truths: "boxes" float32 [b, m, 4], "classes" int64 [b, m], -1 where there is none, and others [b, m].
            size: (height, width) of the images in pixels.
            randoms: float32 [b, 16] in [0, 1).

        Returns:
            The same by name, [b, 4 m, ...], or what was given where there is no mosaic.
        """
        if not self.mosaic:
            return dict(truths)
        height, width = size[0] // 2, size[1] // 2
        one, found = self._four(randoms)[:, None], {name: [] for name in truths}
        for tile, (x, y) in enumerate(((0, 0), (width, 0), (0, height), (width, height))):
            parts = {name: tf.roll(values, tile, axis=0) for name, values in truths.items()}
            inside = tf.clip_by_value(parts["boxes"] / 2, 0.0, tf.constant([width, height] * 2, tf.float32))
            moved, alone = inside + tf.constant([x, y] * 2, tf.float32), tile == 0
            parts["boxes"] = tf.where(one[..., None], moved, parts["boxes"]) if alone else moved
            kinds = parts["classes"]
            parts["classes"] = kinds if alone else tf.where(one, kinds, -tf.ones_like(kinds))
            for name, values in parts.items():
                found[name].append(values)
        return {name: tf.concat(values, axis=1) for name, values in found.items()}

    def _four(self, randoms: tf.Tensor) -> tf.Tensor:
        """Returns, bool [b], which images are four."""
        return randoms[:, 9] < self.mosaic

    def _tiled(self, images: tf.Tensor, small: tf.Tensor, randoms: tf.Tensor) -> tf.Tensor:
        """Returns images, or masks [b, h, w, 1], of which some are four of those at half the size, rounded down.

        A last odd row or column stays the image's own.
        """
        top, bottom = (tf.concat([tf.roll(small, tile, axis=0) for tile in pair], axis=2) for pair in ((0, 1), (2, 3)))
        four = tf.concat([top, bottom], axis=1)
        height, width = four.shape[1:3]
        four = tf.concat([four, images[:, :height, width:]], axis=2)
        four = tf.concat([four, images[:, height:]], axis=1)
        return tf.where(self._four(randoms)[:, None, None, None], four, images)

    def move_boxes(
        self, boxes: tf.Tensor, kinds: tf.Tensor, size: tuple[int, int], randoms: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Moves boxes as `apply` moves their images by the same `randoms`.

        Args:
            boxes: float32 [b, m, 4], x0, y0, x1, y1 in pixels.
            kinds: int64 [b, m], the boxes' classes.
            size: (height, width) of the images in pixels.
            randoms: float32 [b, 16] in [0, 1).

        Returns:
            The bounds of the moved corners, clipped to the image, float32 [b, m, 4]; and the classes, which become -1
                where less than VISIBLE of a box is left.
        """
        if not self.moves:
            return boxes, kinds
        a, b, x, c, d, y, _, _ = tf.unstack(self._transforms(size, randoms)[:, :, None, None], axis=1)
        left, top, right, bottom = tf.split(boxes - 0.5, 4, axis=-1)  # transforms count from pixels' centres
        across, down = tf.concat([left, right, left, right], -1) - x, tf.concat([top, top, bottom, bottom], -1) - y
        scale = 1 / (a * d - b * c)
        across, down = scale * (d * across - b * down) + 0.5, scale * (a * down - c * across) + 0.5
        low = tf.stack([tf.reduce_min(across, -1), tf.reduce_min(down, -1)], -1)
        high = tf.stack([tf.reduce_max(across, -1), tf.reduce_max(down, -1)], -1)
        ends = tf.constant([size[1], size[0]], tf.float32)
        inside = [tf.clip_by_value(corner, 0.0, ends) for corner in (low, high)]
        left_over = tf.reduce_prod(inside[1] - inside[0], -1) / tf.maximum(tf.reduce_prod(high - low, -1), 1e-6)
        return tf.concat(inside, -1), tf.where(left_over >= VISIBLE, kinds, -tf.ones_like(kinds))

    def _moved(self, images: tf.Tensor, randoms: tf.Tensor, interpolation: str) -> tf.Tensor:
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=self._transforms(tf.shape(images)[1:3], randoms),
            output_shape=tf.shape(images)[1:3],
            fill_value=0.0,
            interpolation=interpolation,
            fill_mode="NEAREST",
        )

    def _transforms(self, size, randoms: tf.Tensor) -> tf.Tensor:
        """Returns, float32 [b, 8], where each output pixel is read: one 2x2 matrix about the centre, and a shift."""
        height, width = tf.cast(size[0], tf.float32), tf.cast(size[1], tf.float32)
        swings = randoms * 2 - 1
        right, down = swings[:, 0] * self.shift * width, swings[:, 1] * self.shift * height
        scale = 1 / (1 + self.zoom * swings[:, 2])
        shear = tf.tan(math.radians(self.shear_degrees) * swings[:, 3])
        angle = math.radians(self.rotation_degrees) * swings[:, 4]
        mirror = tf.where(self.mirrored(randoms), -1.0, 1.0)
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
