"""Defines a report before it is rendered: a title, a verdict, and sections of tables and figures."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Cell:
    """Holds one value of a table: `text` is read, `note` stands smaller beside it, `value` is what sorting compares."""

    text: str
    note: str = ""
    value: float | None = None
    tone: str = ""
    """The colour of the value: "good", "bad" or "" (neither)."""

    def __str__(self) -> str:
        return f"{self.text} {self.note}".rstrip()


@dataclasses.dataclass(frozen=True)
class Table:
    """Holds columns and rows of cells; the first `text_columns` columns hold words, the others numbers."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    text_columns: int = 1


@dataclasses.dataclass(frozen=True)
class Figure:
    """Names a picture `<name>.png`, with what a reader sees in it; with `film` it moves in `<name>.gif`."""

    name: str
    caption: str
    film: bool = False
    photographs: bool = False
    """Its colours stay as they are on a dark page, where those of a plot are turned round."""


@dataclasses.dataclass(frozen=True)
class Section:
    """Holds a heading with a caption and what follows it; `folded` ones are for looking up, and only in the HTML."""

    title: str
    caption: str = ""
    figures: tuple[Figure, ...] = ()
    table: Table | None = None
    text: str = ""
    """Preformatted text: a command, settings as JSON."""
    folded: bool = False


@dataclasses.dataclass(frozen=True)
class Tile:
    """Holds one headline number: "3.9x", "smaller", "24.2 MB against 94.3 MB"."""

    value: str
    label: str
    note: str = ""
    tone: str = ""


@dataclasses.dataclass(frozen=True)
class Document:
    """Holds everything that each format renders."""

    title: str
    verdict: tuple[str, ...]
    """The verdict's sentences, the headline first."""
    sections: tuple[Section, ...]
    tiles: tuple[Tile, ...] = ()
    tone: str = ""
