"""Holds what a reader of a layout of masks finds: images, what tells their masks, splits and recordings."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from tfmo_drive.base import given_file
from tfmo_drive.data.found_files import walk
from tfmo_drive.data.images import SUFFIXES
from tfmo_drive.data.lanes import Lanes

STREET = ("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation",
          "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")  # fmt: skip
"""The classes that Cityscapes and those after it train on, in the order of their train ids."""


@dataclasses.dataclass
class Pairs:
    """Holds pairs of an image and its mask; all lists are in one order.

    Args:
        home: The folder in which names of classes, or their colours, may lie.
        names: The names of the files' ids in order; () where only a file in `home` can say them.
        ignored: The ids that are no classes, beside 255.
        colours: The names to the (red, green, blue) of each, where the layout defines masks of colours.
    """

    home: Path
    names: tuple[str, ...] = ()
    ignored: tuple[int, ...] = ()
    colours: Mapping[str, tuple[int, int, int]] = dataclasses.field(default_factory=dict)
    images: list[str] = dataclasses.field(default_factory=list)
    masks: list[str | Lanes] = dataclasses.field(default_factory=list)
    """Paths of PNGs, or of text files of CULane's lanes, or lanes."""
    splits: list[str] = dataclasses.field(default_factory=list)
    """train, val or test; "" where a split is still to be drawn."""
    frames: list[str] = dataclasses.field(default_factory=list)
    """Names whose last number counts the frames of a recording (data.recordings.blocks)."""
    recordings: list[str] = dataclasses.field(default_factory=list)
    """What stays whole where splits are drawn, if there are enough of them: cities, drives."""
    odd: list[str] = dataclasses.field(default_factory=list)
    """What is no pair, each with the reason."""

    def add(self, image: Path | str, mask: Path | str | Lanes, split: str, frame: str, recording: str = "") -> None:
        """Adds one pair."""
        self.images.append(os.fspath(image))
        self.masks.append(mask if isinstance(mask, Lanes) else os.fspath(mask))
        self.splits.append(split)
        self.frames.append(frame)
        self.recordings.append(sys.intern(recording))


def by_name(folder: Path, pattern: str, odd: list[str], suffixes: tuple[str, ...] = SUFFIXES) -> dict[str, list[Path]]:
    """Returns {the pattern's first group in a stem: files}, of the files below `folder`, sorted.

    Args:
        folder: The folder.
        pattern: The regular expression that a whole stem must match; others are not returned.
        odd: What is no regular file is added to it.
        suffixes: The suffixes of the files.
    """
    below, found = walk(folder, suffixes), {}
    odd += below.odd
    for file in below.files:
        if match := re.fullmatch(pattern, file.stem):
            found.setdefault(match[1], []).append(file)
    return found


def named_in(path: Path) -> list[str]:
    """Returns the names in a list of images, each once: the first word of a line, without folders and suffix."""
    lines = given_file.text_of(path, "a list of images, one a line", windows=True).split("\n")
    return list(dict.fromkeys(Path(line.split()[0]).stem for line in lines if line.strip()))
