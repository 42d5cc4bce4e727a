"""Reads which colour of a mask is which class: class_dict.csv, CamVid's label_colors.txt and CVAT's labelmap.txt.

    name,r,g,b          64 128 64    Animal          car:64,0,128::
    Animal,64,128,64    (red green blue name)        (name:red,green,blue:parts:actions)

Palette files hold an index for each pixel; it is a class only where all files mean the same colour by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tfmo_drive.base.given_file import text_of
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import clean, quoted, refuse_unfit
from tfmo_drive.data.csv_table import number_in, read_table
from tfmo_drive.data.found_files import folders_in
from tfmo_drive.data.images import UnreadableImage, opened
from tfmo_drive.data.layouts.csv_listing import find_columns
from tfmo_drive.data.mask_files import IGNORE, UNKNOWN
from tfmo_drive.data.splitting import SPLIT_WORDS

COLOURS, _ROBOFLOW = "class_dict.csv", "_classes.csv"
LOOKED_AT = 1000
"""The largest number of masks that are opened to compare their palettes before they are read."""
Colour = tuple[int, int, int]
_COLUMNS = {"name": ("name", "class", "class_name", "label"), "red": ("r", "red"), "green": ("g", "green"),
            "blue": ("b", "blue")}  # fmt: skip
_LINES = {
    "label_colors.txt": (re.compile(r"(?P<levels>\S+\s+\S+\s+\S+)\s+(?P<name>\S.*)"), "red green blue name"),
    "labelmap.txt": (re.compile("(?P<name>[^:]+):(?P<levels>[^:]+)(:.*)?"), "name:red,green,blue::"),
}
"""The files of lines, with the form of a line as a pattern and in words; lines that begin with # say nothing."""


_VALUES = {"id": ("pixel value", "value", "id", "index"), "name": _COLUMNS["name"]}
BLACK_AND_WHITE: Mapping[str, Colour] = {"background": (0, 0, 0), "foreground": (255, 255, 255)}
"""The classes of masks that are black and white, where nobody names them."""
_FEW = 20
"""The number of masks in which other colours than black and white are looked for."""


def names_in(folder: Path) -> tuple[str, ...]:
    """Returns the names of the ids in Roboflow's _classes.csv, in a folder or in that of a split; () without any.

    Raises BadInput where the ids are not 0 to n - 1, each once.
    """
    places = [folder, *(child for child in folders_in(folder) if child.name.lower() in SPLIT_WORDS)]
    path = next((place / _ROBOFLOW for place in places if (place / _ROBOFLOW).is_file()), None)
    if path is None:
        return ()
    table = read_table(path)
    found = find_columns(path, table.header, {}, _VALUES, tuple(_VALUES))
    rows = sorted(zip(map(number_in, table.column(found["id"])), table.filled(found["name"]), strict=True), key=str)
    names = {number: clean(name) for number, name in rows if number is not None}
    if set(names) != set(range(len(rows))):
        raise BadInput(f"{path}: the pixel values must be 0 to {len(rows) - 1}, each once, with a name each.")
    return tuple(names[number] for number in range(len(rows)))


def are_black_and_white(masks: Sequence[Path]) -> bool:
    """Says whether some masks, evenly spread, show black and white alone; what cannot be read is passed over."""
    seen: set[int] = set()
    for mode, pixels in _few(masks):
        if mode not in ("1", "L", "P", "RGB", "RGBA") or (pixels != pixels[..., :1]).any():
            return False
        seen |= set(np.unique(pixels).tolist())
    return seen == {0, IGNORE}


def held(masks: Sequence[Path]) -> str:
    """Returns what some masks, evenly spread, hold: `those looked at hold ids from 0 to 33`, or colours."""
    shown = [np.unique(pixels.reshape(-1, 3), axis=0) for _, pixels in _few(masks, raw=True)]
    colours = np.unique(np.concatenate([np.zeros((0, 3), int), *shown]), axis=0)
    if (colours != colours[:, :1]).any():
        return f"those looked at hold {len(colours):,} colours, such as {tuple(colours[-1].tolist())}"
    ids = [number for number in colours[:, 0].tolist() if number != IGNORE]
    return f"those looked at hold ids from {min(ids)} to {max(ids)}" if ids else "none of those looked at shows an id"


def _few(masks: Sequence[Path], raw: bool = False) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the mode and the colours, int [height, width, 3], of some masks; of a palette its ids where `raw`."""
    for place in np.unique(np.linspace(0, len(masks) - 1, min(len(masks), _FEW)).round().astype(int)).tolist():
        try:
            with opened(masks[place], masks[place]) as image:
                whole = raw and (image.mode in ("1", "L", "P") or image.mode.startswith("I"))
                pixels = np.asarray(image if whole else image.convert("RGB")).astype(int)
                yield image.mode, np.repeat(pixels[..., None], 3, -1) if pixels.ndim == 2 else pixels[..., :3]
        except UnreadableImage:
            continue


def colours_in(folder: Path) -> tuple[Path, Mapping[str, Colour]] | None:
    """Returns the first of the files of colours in a folder, and what it says; None where there is none."""
    found = [folder / name for name in (COLOURS, *_LINES) if (folder / name).is_file()]
    return (found[0], class_colours(found[0])) if found else None


def class_colours(path: Path) -> Mapping[str, Colour]:
    """Returns {name: (red, green, blue)} in the order of the lines.

    Raises BadInput for levels outside 0..255, and for a name or a colour that comes twice.
    """
    rows = list(_of_lines(path) if path.name in _LINES else _of_table(path))
    refuse_unfit(path, [name for _, name, _ in rows], said=True)
    colours: dict[str, Colour] = {}
    for line, name, levels in rows:
        good = all(level.isascii() and level.isdigit() and len(level) < 9 and int(level) <= 255 for level in levels)
        if not good or len(levels) != 3:
            raise BadInput(f"{line}: red, green and blue must be 0..255, got {quoted(levels)}.")
        colour = tuple(map(int, levels))
        if colour in colours.values():
            raise BadInput(f"{line}: the colour {colour} is that of a class before it, too.")
        colours[name] = colour
    return colours


def _of_table(path: Path) -> Iterable[tuple[str, str, list[str]]]:
    """Yields where a row of a CSV is, its name and its levels."""
    table = read_table(path)
    found = find_columns(path, table.header, {}, _COLUMNS, tuple(_COLUMNS))
    for row, name in enumerate(table.filled(found["name"])):
        levels = [table.rows[row][found[level]] for level in ("red", "green", "blue")]
        yield table.line(row), clean(name), levels


def _of_lines(path: Path) -> Iterable[tuple[str, str, list[str]]]:
    """Yields where a line of a text is, its name and its levels."""
    pattern, form = _LINES[path.name]
    lines = text_of(path, f"a file of colours, {form} a line", windows=True).split("\n")
    for number, line in enumerate(lines, start=1):
        if not (line := line.strip()) or line.startswith("#"):
            continue
        match = pattern.fullmatch(line)
        if match is None:
            raise BadInput(f"{path}, line {number}: a line must be {form}, got {quoted([line])}.")
        yield f"{path}, line {number}", clean(match["name"]), re.split(r"[\s,]+", match["levels"].strip())


def agreed_palette(root: Path, masks: Sequence[Path]) -> tuple[Colour, ...]:
    """Returns the colour of each id that palette masks agree upon, UNKNOWN where none of them says it; () without any.

    Of more than LOOKED_AT masks, so many are looked at, evenly spread; the others are compared when they are read
    (data.mask_files). Palettes of different lengths, or that differ in what no pixel uses, agree; files that cannot be
    read are passed over. Raises BadInput where an id is another colour in another file.
    """
    places = np.unique(np.linspace(0, len(masks) - 1, min(len(masks), LOOKED_AT)).round().astype(int))
    looked_at = [masks[place] for place in places.tolist()]
    palettes = {file: palette for file in looked_at if (palette := _palette(file))}
    longest = max(palettes.values(), key=len, default=b"")
    if all(longest.startswith(palette) for palette in palettes.values()):
        return tuple(tuple(longest[place : place + 3]) for place in range(0, len(longest), 3))
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
    return tuple(meant.get(number, (UNKNOWN,))[0] for number in range(max(meant, default=-1) + 1))


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
