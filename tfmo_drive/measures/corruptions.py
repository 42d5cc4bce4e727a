"""Corrupts images by bad light, weather, lenses and links in five severities, alike for a float and a compressed file.

Kinds and numbers are those of ImageNet-C (Hendrycks & Dietterich 2019, "Benchmarking neural network robustness to
common corruptions and perturbations", arXiv:1903.12261, and its make_imagenet_c.py) where it has the kind: all but rain
and occlusion. Its images have 224 px: lengths scale with the image's shorter side, grey levels do not.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft
from PIL import Image

from tfmo_drive.base.spelling import suggestion
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.images import grey

SEVERITIES = (1, 2, 3, 4, 5)
_SIDE = 224
"""The side in pixels of the images that the lengths below are meant for."""


def corrupt(images: np.ndarray, name: str, severity: int, seed: int, indices: np.ndarray) -> np.ndarray:
    """Returns `images` as the corruption `name` leaves them: a new array of the same shape.

    What an example becomes depends on (name, severity, seed, its number) alone; all severities share their random
    numbers, so that a higher one is the same picture made worse.

    Args:
        images: uint8 [b, h, w, channels]: grey, which is corrupted as a colour image is and made grey again; RGB; or
            more, of which the first three are corrupted.
        name: One of CORRUPTIONS.
        severity: One of SEVERITIES.
        seed: The seed of the random numbers.
        indices: int64 [b], the examples' numbers.

    Raises:
        BadInput: There is no such corruption or severity.
    """
    if name not in _KINDS:
        raise BadInput(f'There is no corruption "{name}". {suggestion(name, CORRUPTIONS)}')
    if severity not in SEVERITIES:
        raise BadInput(f"The severity of a corruption must be in 1..{len(SEVERITIES)}, got {severity}.")
    change, strengths = _KINDS[name]
    corrupted = np.empty_like(images)
    # One by one: a transform over the whole batch may round an example differently at another place in it.
    for number, (image, index) in enumerate(zip(images, indices, strict=True)):
        generator = np.random.default_rng([seed, zlib.crc32(name.encode()), int(index)])
        seen = np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image[..., :3]
        changed = np.rint(change(seen.astype(np.float32), strengths[severity - 1], generator)).clip(0, 255)
        changed = changed.astype(np.uint8)
        corrupted[number] = (
            grey(changed) if image.shape[-1] == 1 else np.concatenate([changed, image[..., 3:]], axis=-1)
        )
    return corrupted


def _gaussian_noise(image: np.ndarray, deviation: float, generator: np.random.Generator) -> np.ndarray:
    return image + 255 * deviation * generator.standard_normal(image.shape, np.float32)


def _motion_blur(image: np.ndarray, strength: tuple[float, float], generator: np.random.Generator) -> np.ndarray:
    """Blurs along a line at up to 45 degrees from the horizontal, weighted by one half of a normal curve.

    So does ImageMagick; unlike there, the blur is about its centre of mass, so that things stay where the truth says.
    """
    radius, deviation = (length * _scale(image) for length in strength)
    along = np.linspace(0, 2 * radius, math.ceil(8 * radius) + 1)
    weights = np.exp(-((along / deviation) ** 2) / 2)
    along -= np.average(along, weights=weights)
    angle = math.radians(generator.uniform(-45, 45))
    return _blurred(image, _kernel(np.outer(along, (math.sin(angle), math.cos(angle))), weights))


def _defocus(image: np.ndarray, radius: float, generator: np.random.Generator) -> np.ndarray:
    radius *= _scale(image)
    grid = np.linspace(-radius, radius, 4 * math.ceil(radius) + 9)
    points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    points = points[np.hypot(*points.T) <= radius]
    return _blurred(image, _kernel(points, np.ones(len(points))))


def _brightness(image: np.ndarray, more: float, generator: np.random.Generator) -> np.ndarray:
    """Raises the value at the same hue and saturation (HSV)."""
    value = image.max(axis=-1, keepdims=True)
    raised = np.minimum(value + 255 * more, 255)
    return np.where(value > 0, image * (raised / np.maximum(value, 1)), raised)


def _contrast(image: np.ndarray, factor: float, generator: np.random.Generator) -> np.ndarray:
    mean = image.mean(axis=(0, 1))
    return mean + factor * (image - mean)


def _fog(image: np.ndarray, strength: tuple[float, float], generator: np.random.Generator) -> np.ndarray:
    """Lays a plasma fractal over the image, and dims both until the lightest pixel is as light as before.

    The fractal runs from 1/2 to 1: where ImageNet-C's is near 0 the image is only dimmed, which looks like smoke.
    """
    thickness, decay = strength
    height, width = image.shape[:2]
    side, plasma = max(height, width), 0.0
    for octave in range(int(math.log2(side)) + 1):
        cells = Image.fromarray(generator.uniform(-1, 1, (2**octave + 1,) * 2).astype(np.float32))
        plasma += np.asarray(cells.resize((side, side), Image.Resampling.BICUBIC)) / decay**octave
    plasma = 0.5 + 0.5 * (plasma - plasma.min()) / np.ptp(plasma)
    lightest = max(image.max() / 255, 1 / 255)
    fogged = image + 255 * thickness * plasma[:height, :width, None]
    return fogged * (lightest / (lightest + thickness))


def _rain(image: np.ndarray, strength: tuple[int, float, float, float], generator: np.random.Generator) -> np.ndarray:
    """Draws slanted streaks, a third of them near and twice as long, and a veil of drops too far away to be told apart.

    A drop shows the sky and the lamps around the view, so it is lighter than what it hides (Garg & Nayar 2007, "Vision
    and rain").
    """
    count, length, opacity, veil = strength
    height, width = image.shape[:2]
    scale = _scale(image)
    slant = math.radians(generator.uniform(-20, 20))
    drops = generator.random((round(count * height * width / (_SIDE * scale) ** 2), 3))
    hidden = np.full((height, width, 1), veil, np.float32)
    for near in (False, True):
        part = drops[(np.arange(len(drops)) % 3 == 0) == near]
        layer = np.zeros((height, width, 1), np.float32)
        places = (part[:, :2] * (height, width)).astype(int).T
        np.add.at(layer, (*places, 0), opacity * (0.5 + part[:, 2]) * min(scale, 1))
        along = np.arange(0, length * scale * (1 + near), 0.25)
        across = np.arange(0, max(scale, 0.25), 0.25)
        down, right = (side.ravel() for side in np.meshgrid(along, across))
        turned = np.stack([down * math.cos(slant) - right * math.sin(slant),
                           down * math.sin(slant) + right * math.cos(slant)], axis=-1)  # fmt: skip
        kernel = _kernel(turned - turned.mean(axis=0), np.ones(len(turned)))
        hidden += _blurred(layer, kernel / kernel.max())
    hidden = hidden.clip(0, 0.9)
    return image * (1 - hidden) + (image.mean() + 255) / 2 * hidden


def _jpeg(image: np.ndarray, quality: int, generator: np.random.Generator) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image.astype(np.uint8)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def _occlusion(image: np.ndarray, part: float, generator: np.random.Generator) -> np.ndarray:
    """Hides a square of `part` of the shorter side, wholly inside the image, behind ImageNet's mean colour."""
    side = round(part * min(image.shape[:2]))
    top, left = (
        int(roll * (length - side + 1)) for roll, length in zip(generator.random(2), image.shape, strict=False)
    )
    image[top : top + side, left : left + side] = (124, 117, 104)
    return image


def _scale(image: np.ndarray) -> float:
    return min(image.shape[:2]) / _SIDE


def _kernel(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns a blurring kernel, float32 [k, k] with the sum 1.

    `points` (float [n, 2]: down, right of the middle) are each shared among the four nearest pixels, so that lengths
    below a pixel blur as well.
    """
    low = np.floor(points).astype(int)
    reach = int(np.abs(low).max()) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    for step in ((0, 0), (0, 1), (1, 0), (1, 1)):
        shares = np.abs(1 - np.array(step) - (points - low)).prod(axis=1)
        np.add.at(kernel, tuple((low + step + reach).T), weights * shares)
    return (kernel / kernel.sum()).astype(np.float32)


def _blurred(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Returns the image [h, w, c] convolved with a kernel of odd side, reflected at its edges.

    It goes by Fourier transform, because the discs of a large image have a thousand taps.
    """
    height, width = image.shape[:2]
    reach = len(kernel) // 2
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    shape = [scipy.fft.next_fast_len(side, real=True) for side in padded.shape[:2]]
    product = scipy.fft.rfft2(padded, shape, axes=(0, 1)) * scipy.fft.rfft2(kernel[..., None], shape, axes=(0, 1))
    return scipy.fft.irfft2(product, shape, axes=(0, 1))[2 * reach :, 2 * reach :][:height, :width]


_KINDS: dict[str, tuple[Callable, tuple[Any, ...]]] = {
    # standard deviation, of 1
    "gaussian_noise": (_gaussian_noise, (0.08, 0.12, 0.18, 0.26, 0.38)),
    # radius (half the length of the trail) and standard deviation, px
    "motion_blur": (_motion_blur, ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))),
    # radius of the disc, px
    "defocus": (_defocus, (3, 4, 6, 8, 10)),
    # added to the value, of 1
    "brightness": (_brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
    # factor
    "contrast": (_contrast, (0.4, 0.3, 0.2, 0.1, 0.05)),
    # Thickness, and by how much each octave of the fractal is weaker than the one before. The source repeats 2.5 at
    # severity 4, which changes an image no more than 3 does.
    "fog": (_fog, ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.75, 1.5), (3.0, 1.4))),
    # Streaks in 224 x 224 px, length in px, opacity, veil. Ours: a drop of 2 mm falls 6.5 m/s (Gunn & Kinzer 1949), so
    # 11 cm in 1/60 s: at this focal length 8 px at 2.6 m and 24 px at 0.9 m. Number and veil run from a shower to where
    # a driver would stop.
    "rain": (_rain, ((100, 8, 0.25, 0.04), (200, 11, 0.3, 0.08), (350, 14, 0.35, 0.12), (500, 18, 0.38, 0.17),
                     (650, 24, 0.4, 0.22))),
    # Quality, of 100. Its blocks stay 8 px wide: a link does not know the size of an image.
    "jpeg": (_jpeg, (25, 18, 15, 10, 7)),
    # Side of the square, of the image's. The last is that of Cutout (DeVries & Taylor 2017): 16 of 32 px.
    "occlusion": (_occlusion, (0.1, 0.2, 0.3, 0.4, 0.5)),
}  # fmt: skip
CORRUPTIONS = tuple(_KINDS)
