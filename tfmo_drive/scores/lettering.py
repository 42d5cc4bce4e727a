"""Chooses fonts for names in any writing: DejaVu Sans, which matplotlib brings, or else one that is installed here.

Pillow draws a text in one font and a box for every letter that it lacks, so a font is looked for that has them all.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import ImageFont

FAMILIES = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans SC", "Noto Sans JP", "Noto Sans KR",
    "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback", "Microsoft YaHei",
    "SimHei", "PingFang SC", "Hiragino Sans", "Yu Gothic", "Malgun Gothic", "Noto Sans Arabic", "Noto Sans Devanagari",
    "Noto Sans Thai", "Noto Sans Hebrew", "Arial Unicode MS",
)  # fmt: skip
"""Fonts with other writings than European ones that systems have, which are tried first."""


_MOST = 8
"""The largest number of letters that share a shape, as Latin, Greek and Cyrillic A do."""


def families() -> list[str]:
    """Returns the names of fonts for matplotlib, which takes each letter from the first that has it."""
    from matplotlib import font_manager

    installed = {entry.name for entry in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in FAMILIES if name in installed)]


def font_of(size: int, text: str = "") -> ImageFont.FreeTypeFont:
    """Returns a font of `size` pixels that has all letters of a text; where none here has, DejaVu Sans."""
    return _opened(_file_with(_letters(text)) or _own(), size)


def drawable(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of classes as pictures show them: for one whose letters no font here has, its number."""
    return tuple(name if _file_with(_letters(name)) else str(label) for label, name in enumerate(names))


def _letters(text: str) -> frozenset[int]:
    return frozenset(ord(letter) for letter in text if not letter.isspace())


@functools.cache
def _opened(file: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)


@functools.cache
def _own() -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


@functools.lru_cache(maxsize=10_000)
def _file_with(letters: frozenset[int]) -> Path | None:
    """Returns the file of the first font that has all these letters, or None."""
    return next((file for file in (_own(), *_others()) if letters <= _known(file)), None) if letters else _own()


@functools.cache
def _others() -> tuple[Path, ...]:
    """Returns the files of the fonts that are installed, those of FAMILIES first, upright and regular ones alone."""
    from matplotlib import font_manager

    fonts = [one for one in font_manager.fontManager.ttflist if one.style == "normal" and one.weight in (400, "normal")]
    order = {name: place for place, name in enumerate(FAMILIES)}
    fonts.sort(key=lambda one: (order.get(one.name, len(order)), one.name, one.fname))
    return tuple(dict.fromkeys(Path(one.fname) for one in fonts))


@functools.cache
def _known(file: Path) -> frozenset[int]:
    """Returns the letters of a font, each with a shape of its own; none of a file that is none any more.

    A font of last resort, as matplotlib brings one, has one shape for whole writings.
    """
    from matplotlib.ft2font import FT2Font

    try:
        shapes = FT2Font(str(file)).get_charmap()
    except (OSError, RuntimeError):
        return frozenset()
    counts = Counter(shapes.values())
    return frozenset(letter for letter, shape in shapes.items() if counts[shape] <= _MOST)
