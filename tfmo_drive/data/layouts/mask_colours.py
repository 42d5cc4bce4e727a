"""Reads which colour of a mask is which class from class_dict.csv, as CamVid has it (name,r,g,b, one class a line).

Palette files hold an index for each pixel; it is a class only where all files mean the same colour by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import clean, quoted, refuse_unfit
from tfmo_drive.data.csv_table import read_table
from tfmo_drive.data.images import UnreadableImage, opened
from tfmo_drive.data.layouts.csv_listing import find_columns

COLOURS = "class_dict.csv"
Colour = tuple[int, int, int]
_COLUMNS = {"name": ("name", "class", "class_name", "label"), "red": ("r", "red"), "green": ("g", "green"),
            "blue": ("b", "blue")}  # fmt: skip


def class_colours(path: Path) -> Mapping[str, Colour]:
    """Returns {name: (red, green, blue)} in the order of the lines.

    Raises BadInput for levels outside 0..255, and for a name or a colour that comes twice.
    """
    table = read_table(path)
    found = find_columns(path, table.header, {}, _COLUMNS, tuple(_COLUMNS))
    names = [clean(name) for name in table.filled(found["name"], table.column(found["name"]))]
    refuse_unfit(path, names, said=True)
    colours: dict[str, Colour] = {}
    for row, name in enumerate(names):
        levels = [table.rows[row][found[level]] for level in ("red", "green", "blue")]
        if not all(level.isascii() and level.isdigit() and len(level) < 9 and int(level) <= 255 for level in levels):
            raise BadInput(f"{table.line(row)}: red, green and blue must be 0..255, got {quoted(levels)}.")
        colour = tuple(map(int, levels))
        if colour in colours.values():
            raise BadInput(f"{table.line(row)}: the colour {colour} is that of a class before it, too.")
        colours[name] = colour
    return colours


def refuse_other_palettes(root: Path, masks: Sequence[Path]) -> None:
    """Raises BadInput where an id of palette masks is another colour in another file; unreadable files are skipped.

    Palettes of different lengths, or that differ in what no pixel uses, agree.
    """
    palettes = {file: palette for file in masks if (palette := _palette(file))}
    longest = max(palettes.values(), key=len, default=b"")
    if all(longest.startswith(palette) for palette in palettes.values()):
        return
    meant: dict[int, tuple[Colour, Path]] = {}
    for file, palette in palettes.items():
        for number in _used(file):
            colour = tuple(palette[3 * number : 3 * number + 3])
            before, first = meant.setdefault(number, (colour, file))
            if before != colour:
                raise BadInput(
                    f"{file}: id {number} is the colour {colour}, and {before} in {first}, so these ids are "
                    f"no classes. Say which colour is which class in {root / COLOURS} (name,r,g,b), or save the masks "
                    "as grey PNGs of class ids."
                )


def _palette(file: Path) -> bytes:
    """Returns a file's palette, three bytes for each colour; b"" where it has none, or cannot be read."""
    try:
        with opened(file, file) as image:
            return bytes(image.getpalette("RGB") or ()) if image.mode == "P" else b""
    except UnreadableImage:
        return b""


def _used(file: Path) -> list[int]:
    try:
        with opened(file, file) as image:
            return np.unique(np.asarray(image)).tolist()
    except UnreadableImage:
        return []
