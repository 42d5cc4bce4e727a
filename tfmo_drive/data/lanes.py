"""Draws lanes, lines through points of an image, as masks, so that files of points are masks like any other.

TuSimple (github.com/TuSimple/tusimple-benchmark) and CULane (Pan et al. 2018, arXiv:1712.06080) tell lanes as points.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from tfmo_drive.base.given_file import text_of
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.csv_table import number_in
from tfmo_drive.data.images import UnreadableImage

LANES = ("no lane line", "lane line")
"""The classes of a mask of lanes."""
WIDTH = 16
"""The width of a drawn lane in the image's pixels, as that of CULane's own masks."""
FARTHEST = 1e5
"""The largest distance of a point from the image's corner, in pixels."""


@dataclasses.dataclass(frozen=True, eq=False)
class Lanes:
    """Holds the lanes of one image: float32 [points, 2] each, x and y in the image's pixels; `file` tells them."""

    file: Path
    lines: tuple[np.ndarray, ...]

    @property
    def facts(self) -> list[Any]:
        """Returns all that a drawn mask depends on, in JSON types."""
        return [WIDTH, [line.tolist() for line in self.lines]]


def read_lines(file: Path) -> list[np.ndarray]:
    """Returns the lanes in a file of CULane, float32 [points, 2] each: a lane a line, `x y x y ...`.

    Raises UnreadableImage for what is no such text, with the line.
    """
    try:
        text = text_of(file, "a file of lanes")
    except BadInput as error:
        raise UnreadableImage(str(file), "it is missing, or no text in UTF-8") from error
    lines = []
    for number, line in enumerate(text.split("\n"), start=1):
        numbers = [number_in(word) for word in line.split()]
        if len(numbers) % 2 or any(value is None or abs(value) > FARTHEST for value in numbers):
            raise UnreadableImage(str(file), f"line {number} is no row of points, x y x y ...")
        lines.append(np.array(numbers, np.float32).reshape(-1, 2))
    return [line for line in lines if len(line)]


def drawn(lines: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Returns lanes as a mask of LANES, uint8 [*size]: 1 within WIDTH pixels of a lane, across it, and 0 elsewhere.

    A lane of a single point is none. Points may lie outside the image.
    """
    mask = Image.new("L", size[::-1])
    pen = ImageDraw.Draw(mask)
    for line in lines:
        if len(line) > 1:
            pen.line([tuple(point) for point in line.tolist()], fill=1, width=WIDTH, joint="curve")
    return np.array(mask)
