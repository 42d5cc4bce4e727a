"""Makes the images and objects that tests write in every layout of boxes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

NAMES = ("bus", "car", "person")
"""Classes that every layout may have, in the order in which they are sorted."""
SIZE = (64, 96)
"""(height, width) of the images."""


class Thing(NamedTuple):
    """An object: its class, x0, y0, x1, y1, and whether it is a crowd."""

    name: str
    box: tuple[int, int, int, int]
    crowd: bool = False


class Picture(NamedTuple):
    """An image of a split, called as its number says."""

    number: int
    split: str
    things: list[Thing]

    @property
    def stem(self) -> str:
        return f"{self.number:06}"


def pictures(random: np.random.Generator, count: int = 12) -> list[Picture]:
    """Images of all splits with one to three objects, and one without; the first of each split shows all classes."""
    found = []
    for number in range(count):
        first = number < 3
        things = []
        for place in range(3 if first else 0 if number == 10 else int(random.integers(1, 4))):
            x, y = int(random.integers(0, 60)), int(random.integers(0, 40))
            right, low = x + int(random.integers(8, 30)), y + int(random.integers(8, 20))
            name = NAMES[place if first else int(random.integers(3))]
            things.append(Thing(name, (x, y, right, low), not first and place > 0 and random.random() < 0.4))
        found.append(Picture(number, ("train", "val", "test")[number % 3], things))
    return found


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE[::-1]).save(path)


def text(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def of(all_: Sequence[Picture], split: str) -> list[Picture]:
    return [one for one in all_ if one.split == split]
