"""Escapes users' texts in Markdown (CommonMark and GitHub's tables): they are never markup, HTML or a cell's end.

Renderers differ in what a backslash escapes (python-markdown: no "<"), but none takes a character reference for markup:
https://spec.commonmark.org/0.31.2/#entity-and-numeric-character-references. GitHub takes $x$ for a formula.
"""

from __future__ import annotations

import re

_PLAIN_CODE = re.compile(r"[\w./:+-]+", re.ASCII)
_MARKUP = re.compile(
    r"[&<>|~\\`*#$\[\]]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # an underscore inside a word is none
    r"|:(?=//)|(?<=www)\.|@|^[+-](?= |$)|^\d+(?=[.)](?: |$))"
)


def escaped(text: object) -> str:
    """Returns the text on one line, with markup escaped."""
    return _MARKUP.sub(_referred, " ".join(str(text).split()))


def code(text: object) -> str:
    """Returns the text as code: between backticks where it can be, and in <code>, where references work, otherwise."""
    text = " ".join(str(text).split())
    return f"`{text}`" if _PLAIN_CODE.fullmatch(text) else f"<code>{escaped(text)}</code>"


def _referred(found: re.Match) -> str:
    named = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
    return "".join(named.get(letter, f"&#{ord(letter)};") for letter in found[0])
