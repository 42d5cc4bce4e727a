"""Renders a report as one HTML file: pictures inside, light and dark, nothing fetched from anywhere."""

from __future__ import annotations

import base64
import functools
import re
import struct
from collections.abc import Mapping
from pathlib import Path

import jinja2
from markupsafe import Markup

from tfmo_drive.report.document import Document
from tfmo_drive.report.plots.plot_style import DRAWN_DPI, SHOWN_DPI
from tfmo_drive.report.sections import document

LONG = 12
"""The number of letters of a name from which it may break at its words."""


def html(report: dict, figures: Mapping[str, bytes]) -> str:
    """Returns the report as a self-contained page; `figures` maps names to PNG bytes, and those absent are left out."""
    return page(document(report), figures)


def page(shown: Document, figures: Mapping[str, bytes]) -> str:
    """Returns any document as a self-contained page."""
    pictures = {name: _picture(data) for name, data in figures.items()}
    sections = [one for one in shown.sections if one.table or one.text or any(f.name in pictures for f in one.figures)]
    return _template().render(page=shown, sections=sections, pictures=pictures)


def _picture(data: bytes) -> dict:
    # PNG 1.2, section 4.1.1: width and height are the first two big-endian words of the IHDR chunk, at byte 16.
    width, height = struct.unpack(">II", data[16:24])
    scale = SHOWN_DPI / DRAWN_DPI
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return {"source": source, "width": round(width * scale), "height": round(height * scale)}


def _unbroken(text: str) -> str:
    """Keeps a number and its unit on one line."""
    return re.sub(r"(?<=\d) (?=(?:%|B|kB|MB|GB|k|M|G|ms|s|min|h|points)(?!\w))", "\N{NO-BREAK SPACE}", text)


def _breakable(text: str) -> Markup:
    """Lets a name break after its slash, and a long part at its words.

    Else it would push the numbers off the screen.
    """
    parts = [[part] if len(part) <= LONG else re.split("(?<=_)", part) for part in re.split("(?<=/)", text)]
    return Markup("<wbr>").join(one for part in parts for one in part)


@functools.cache
def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"unbroken": _unbroken, "breakable": _breakable}
    return environment.get_template("report.html.j2")
