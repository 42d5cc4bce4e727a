"""Renders a model's answers over its image: boxes, masks and a steering arrow."""

from __future__ import annotations

import colorsys
import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from tfmo_drive.data.lanes import LANES
from tfmo_drive.scores.lettering import drawable, font_of

_WIDTH = 320
"""The least width of a rendered image in pixels, so that lines and names are sharp."""
COLOURS = (
    (255, 214, 10), (255, 69, 58), (50, 215, 75), (100, 210, 255), (191, 90, 242), (255, 159, 10), (255, 55, 95),
    (172, 142, 104), (94, 92, 230), (102, 212, 207),
)  # fmt: skip
"""The colours of the first classes, light enough to be seen on a street by night."""
BACKGROUND = (LANES[0], "background", "_background_")
"""Names of classes for where nothing is: a drawn mask leaves such pixels as they are, so that thin things are seen."""


def colour(label: int) -> tuple[int, int, int]:
    """Returns a class's colour; no two of a few dozen classes look the same."""
    return COLOURS[label] if label < len(COLOURS) else tuple(_farthest(label)[label].tolist())


@functools.cache
def _farthest(label: int) -> np.ndarray:
    """Returns the colours of all classes up to `label`, int64 [label + 1, 3]: each as far from all before as can be.

    The distance of two colours is Riemersma's "redmean" (compuphase.com/cmetric.htm), which is near to what is seen.
    """
    if label < len(COLOURS):
        return np.array(COLOURS[: label + 1])
    before = _farthest(label - 1)
    grid = itertools.product(np.arange(24) / 24, (0.35, 0.7, 1.0), (0.7, 1.0))
    others = np.array([colorsys.hsv_to_rgb(*one) for one in grid])
    others = (255 * others).round().astype(np.int64)[:, None]
    red = (others[..., 0] + before[:, 0]) / 2
    squares = (others - before) ** 2 * np.stack([2 + red / 256, np.full_like(red, 4), 3 - red / 256], -1)
    return np.concatenate([before, others[squares.sum(-1).min(-1).argmax()]])


def tints(names: Sequence[str]) -> dict[int, tuple[int, int, int]]:
    """Returns the colours in which a mask of these classes is drawn, by class id, those of BACKGROUND left out."""
    return {label: colour(label) for label, name in enumerate(names) if name.lower() not in BACKGROUND}


def shown(raw: np.ndarray, input_range: tuple[float, float] | None) -> np.ndarray:
    """Returns raw images [n, h, w, any channels] as uint8 [n, h, w, 3]: one or two channels as the grey of their mean.

    Of more than three the first three are shown.

    Args:
        raw: uint8 pixels, or floating-point numbers.
        input_range: What is black and what is white of the latter; None: their lowest and highest.
    """
    if raw.dtype != np.uint8:
        low, high = input_range or (float(raw.min()), float(raw.max()))
        raw = np.clip(255 * (raw - low) / max(high - low, 1e-12), 0, 255).astype(np.uint8)
    if raw.shape[-1] >= 3:
        return raw[..., :3]
    return np.repeat(raw.mean(-1, keepdims=True).astype(np.uint8), 3, axis=-1)


def enlarged(image: np.ndarray) -> tuple[Image.Image, int]:
    """Returns the image (uint8 [h, w, 3]) a whole number of times as large, at least _WIDTH across, and that number."""
    times = -(-_WIDTH // image.shape[1])
    return Image.fromarray(image).resize(
        (times * image.shape[1], times * image.shape[0]), Image.Resampling.BICUBIC
    ), times


def boxed(image: np.ndarray, boxes: np.ndarray, classes: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Returns the image with boxes, each in its class's colour with its name: uint8 [h, w, 3], enlarged.

    Args:
        image: uint8 [h, w, 3].
        boxes: float [n, 4], in the image's pixels.
        classes: int [n].
        names: The classes' names.
    """
    picture, times = enlarged(image)
    pen, names = ImageDraw.Draw(picture), drawable(names)
    for box, label in zip(boxes.tolist(), classes.tolist(), strict=True):
        left, top, right, bottom = (times * edge for edge in box)
        ink, font = colour(label), font_of(max(10, picture.width // 32), names[label])
        pen.rectangle((left, top, max(left, right), max(top, bottom)), outline=ink, width=2)
        pen.text(
            (left + 2, max(0, top - 1.2 * font.size)), names[label], ink, font, stroke_width=1, stroke_fill=(0, 0, 0)
        )
    return np.asarray(picture)


def masked(image: np.ndarray, mask: np.ndarray, names: Sequence[str], strength: float = 0.55) -> np.ndarray:
    """Returns the image with a mask tinted over it, but for ids of no class and of BACKGROUND.

    Args:
        image: uint8 [h, w, 3].
        mask: Class ids, uint8 [h, w].
        names: The classes' names.
        strength: The share of the tint, in [0, 1].
    """
    shares, colours = np.zeros((256, 1), np.float32), np.zeros((256, 3), np.float32)
    for label, tint in tints(names).items():
        shares[label], colours[label] = strength, tint
    mixed = (1 - shares[mask]) * image + shares[mask] * colours[mask]
    return np.asarray(enlarged(mixed.astype(np.uint8))[0])


def captioned(image: np.ndarray, text: str, colour: tuple[int, int, int] = COLOURS[0]) -> np.ndarray:
    """Returns the image with a line of text in its lower left corner.

    Args:
        image: uint8 [h, w, 3].
        text: What stands there.
        colour: The text's colour.
    """
    picture, _ = enlarged(image)
    pen, font = ImageDraw.Draw(picture), font_of(16, text)
    pen.text((6, picture.height - 24), text, colour, font, stroke_width=2, stroke_fill=(0, 0, 0))
    return np.asarray(picture)


def legend(names: Sequence[str], width: int, size: int = 18, ink: object = "black") -> Image.Image:
    """Returns the classes that `masked` draws, each beside its colour, in lines on no ground of their own.

    Args:
        names: The classes' names.
        width: The picture's width in pixels.
        size: The size of the letters in pixels.
        ink: The letters' colour.
    """
    line, places, left, top = round(1.55 * size), [], 6, 4
    shown = drawable(names)
    drawn = [(shown[label], tint) for label, tint in tints(names).items()]
    for name, _ in drawn:
        across = round(2.8 * size + font_of(size, name).getlength(name))
        if left > 6 and left + across > width:
            left, top = 6, top + line
        places.append((left, top))
        left += across
    made = Image.new("RGBA", (width, top + line), (255, 255, 255, 0))
    pen = ImageDraw.Draw(made)
    for (name, tint), (left, top) in zip(drawn, places, strict=True):
        pen.rectangle((left, top + 2, left + size, top + 2 + size), tint, ink)
        pen.text((left + round(1.45 * size), top), name, ink, font_of(size, name))
    return made


def steered(
    image: np.ndarray, steering: float, degrees: float, colour: tuple[int, int, int] = COLOURS[2]
) -> np.ndarray:
    """Returns the image with an arrow from the middle of its lower edge, turned by steering x `degrees`.

    Args:
        image: uint8 [h, w, 3].
        steering: In [-1, 1], positive to the right.
        degrees: The angle of full lock.
        colour: The arrow's colour.
    """
    picture, _ = enlarged(image)
    pen, (width, height) = ImageDraw.Draw(picture), picture.size
    angle, length = math.radians(degrees * steering), 0.45 * height
    x, y = width / 2, height - 4
    tip = x + length * math.sin(angle), y - length * math.cos(angle)
    strokes = [(x, y, *tip)]
    for side in (-1, 1):
        back = angle + side * math.radians(150)
        strokes.append((*tip, tip[0] + 14 * math.sin(back), tip[1] - 14 * math.cos(back)))
    for ink, across in (((0, 0, 0), 8), (colour, 4)):  # a dark edge, for what is as light as the arrow
        for stroke in strokes:
            pen.line(stroke, ink, across)
    return np.asarray(picture)
