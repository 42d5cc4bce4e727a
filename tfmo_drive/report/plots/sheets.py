"""Draws examples as pictures: new mistakes, what float and compressed answer side by side, frames of a clip."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from tfmo_drive.report.plots.plot_style import DRAWN_DPI, EITHER, png
from tfmo_drive.report.row_facts import featured
from tfmo_drive.scores.gallery import Gallery
from tfmo_drive.scores.lettering import font_of
from tfmo_drive.scores.pictures import legend

COMPARED, ORDINARY = 12, 4
"""The number of examples shown of those that got worse (at most as many lines, where each takes three), and of all."""
STRIP, FILM = 6, 60
"""The frames of a clip in a row, and in motion; FRAME_MS: scenes are ten a second (scenes.clips)."""
FRAME_MS = 100
WIDTH = 1920
"""The width of a sheet in pixels, shown at half of it: three panels of scores.pictures' 320 px, doubled."""
STRIP_WIDTH, FILM_WIDTH = 2340, 656
"""The widths in pixels of a strip, which is as wide as the page, and of a film: two panels and the gap."""
_GAP, _TEXT = 16, 24
# What is drawn for several tasks side by side is too wide to stand beside another one.
_WIDE = 2.0
_SAYS = {"truth": "truth", "float": "reference_says", "compressed": "says"}
"""The caption of a regression that belongs to each panel."""

Panel = tuple[str, np.ndarray]
"""A caption and its picture, uint8 [h, w, 3]."""
Clip = Sequence[tuple[str, Sequence[np.ndarray]]]
"""Rows of a clip: a title and its frames, uint8 [h, w, 3]."""


def sheets(report: dict, gallery: Gallery | None = None, clip: Clip = ()) -> dict[str, bytes]:
    """Returns PNG bytes by name.

    They are "regressions" where a caption says it all, "comparisons" and "predictions" where the task renders, and
    "clip" where there is one.
    """
    drawn = {"clip": strip(clip)} if clip else {}
    row = featured(report)[0]
    worst = row.get("regressions") or []
    if gallery:
        ordinary = gallery.ordinary(ORDINARY)
        said = [{"index": index} for index in ordinary]
        drawn["predictions"] = compared(gallery.panels(row["name"], ordinary), said, gallery.mask_classes)
    if gallery and worst and drawn["predictions"]:
        shown = worst[:COMPARED]
        panels = gallery.panels(row["name"], [one["index"] for one in shown])
        drawn["comparisons"] = compared(panels, shown, gallery.mask_classes)
    elif gallery and worst:
        drawn["regressions"] = contact_sheet(worst, gallery.images([one["index"] for one in worst]))
    return {name: data for name, data in drawn.items() if data}


def contact_sheet(regressions: list[dict], pictures: np.ndarray) -> bytes | None:
    """Returns pictures with their truth and the compressed artifact's answer, as PNG bytes.

    Where nobody can say these in words, it is the example's number. It is None without regressions; pictures are uint8
    [n, h, w, 3].
    """
    if np.ndim(pictures) != 4 or not len(pictures) or not regressions:
        return None
    columns = min(6, len(regressions))
    lines = -(-len(regressions) // columns)
    figure = Figure(figsize=(1.72 * columns, 2.25 * lines), dpi=DRAWN_DPI, layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, one, picture in zip(panels, regressions, pictures, strict=False):
        axes.imshow(picture, interpolation="nearest")
        said = [(key, one[name]) for key, name in (("is", "truth"), ("says", "says")) if name in one]
        said = "\n".join(textwrap.fill(f"{key}: {words}", 24) for key, words in said) or f"#{one['index']}"
        axes.set_title(said, fontsize=8, loc="left", linespacing=1.15, color=EITHER)
    return png(figure, transparent=True)


def compared(
    examples: Sequence[Mapping[str, np.ndarray]], said: Sequence[dict], classes: Sequence[str] = ()
) -> bytes | None:
    """Returns each example's panels side by side, or None where there are no panels.

    Args:
        examples: The panels of each example, title to uint8 [h, w, 3].
        said: The index of each example, and what it is in words.
        classes: The classes of masks over the pictures, whose colours are told below them.
    """
    if not examples:
        return None
    lines = [
        [(_caption(title, one, not place), picture) for place, (title, picture) in enumerate(panels.items())]
        for panels, one in zip(examples, said, strict=True)
    ]
    sheet = _sheet(_stacked(lines)[:COMPARED], WIDTH)
    return _png(_above(sheet, legend(classes, WIDTH, _TEXT, EITHER)) if classes else sheet)


def strip(clip: Clip) -> bytes:
    """Returns frames from the first to the last in a line for each row, as PNG bytes."""
    lines = []
    for title, frames in clip:
        shown = np.unique(np.linspace(0, len(frames) - 1, STRIP).round().astype(int))
        lines.append([(title if not place else "", frames[index]) for place, index in enumerate(shown)])
    return _png(_sheet(lines, STRIP_WIDTH))


def film(clip: Clip) -> bytes:
    """Returns the rows side by side, in motion, as GIF bytes."""
    count = min(FILM, *(len(frames) for _, frames in clip))
    lines = [_stacked([[(title, frames[index]) for title, frames in clip]]) for index in range(count)]
    first, *rest = [_indexed(_sheet(one, FILM_WIDTH).convert("RGB")) for one in lines]
    buffer = io.BytesIO()
    first.save(buffer, "gif", save_all=True, append_images=rest, duration=FRAME_MS, loop=0)
    return buffer.getvalue()


def _caption(title: str, one: dict, first: bool) -> str:
    words = one.get(_SAYS.get(title, ""))
    return (f"#{one['index']}  " if first else "") + (f"{title}: {words}" if words else title)


def _stacked(lines: list[list[Panel]]) -> list[list[Panel]]:
    """Puts wide pictures one below the other."""
    wide = any(picture.shape[1] > _WIDE * picture.shape[0] for line in lines for _, picture in line)
    return [[panel] for line in lines for panel in line] if wide else lines


def _sheet(lines: list[list[Panel]], width: int) -> Image.Image:
    """Returns lines of panels on no ground of their own, each under its caption; all panels are equally wide."""
    columns = max(map(len, lines))
    across = (width - _GAP * (columns - 1)) // columns
    scaled = [[(_wrapped(text, across), _scaled(picture, across)) for text, picture in line] for line in lines]
    above = [max(_height(text) for text, _ in line) for line in scaled]
    below = [max(picture.height for _, picture in line) for line in scaled]
    sheet = Image.new("RGBA", (width, sum(above) + sum(below) + _GAP * (len(lines) - 1)), (255, 255, 255, 0))
    pen, top = ImageDraw.Draw(sheet), 0
    for line, text_height, height in zip(scaled, above, below, strict=True):
        for place, (text, picture) in enumerate(line):
            left = place * (across + _GAP)
            pen.multiline_text((left, top), text, EITHER, font_of(_TEXT, text))
            sheet.paste(picture, (left, top + text_height))
        top += text_height + height + _GAP
    return sheet


def _above(sheet: Image.Image, other: Image.Image) -> Image.Image:
    """Returns one picture above another one of its width."""
    both = Image.new("RGBA", (sheet.width, sheet.height + other.height), (255, 255, 255, 0))
    both.paste(sheet)
    both.paste(other, (0, sheet.height))
    return both


def _scaled(picture: np.ndarray, across: int) -> Image.Image:
    height, width = picture.shape[:2]
    # Small pictures keep their pixels, which is what the network sees.
    how = Image.Resampling.NEAREST if across >= 2 * width else Image.Resampling.LANCZOS
    return Image.fromarray(picture).resize((across, round(across * height / width)), how)


def _wrapped(text: str, across: int) -> str:
    letters = int(across / font_of(_TEXT).getlength("n"))
    return "\n".join(textwrap.wrap(text, letters, max_lines=2, placeholder=" .."))


def _height(text: str) -> int:
    return round(1.35 * _TEXT * (text.count("\n") + 1)) if text else 0


def _png(sheet: Image.Image) -> bytes:
    buffer = io.BytesIO()
    _indexed(sheet).save(buffer, "png")
    return buffer.getvalue()


def _indexed(sheet: Image.Image) -> Image.Image:
    """Returns the sheet in 256 colours, which makes photographs a quarter as large.

    Octrees keep the few bright colours that are drawn, which the median cut gives up for shades of asphalt.
    """
    return sheet.quantize(256, Image.Quantize.FASTOCTREE)
