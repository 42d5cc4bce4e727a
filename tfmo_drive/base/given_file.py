"""Reads files that users give: whatever a parser raises on a damaged file becomes one line that names the file.

Every reader of users' files reads inside `reading`; tests/fuzz walks them all.
"""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import functools
import io
import json
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from tfmo_drive.base import faults
from tfmo_drive.contracts import BadInput

T = TypeVar("T")
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_MULTIBYTE = re.compile(rb"[\xc2-\xf4][\x80-\xbf]")
"""How every character of UTF-8 beyond ASCII begins; in another encoding it would be an odd pair of letters."""
_LONGEST = 200
"""The number of letters of a parser's message that are passed on."""


def paths_as_text(settings: Any) -> None:
    """Lets settings that name files be given as `pathlib.Path` too: each becomes the text that a command line gives.

    Args:
        settings: A frozen dataclass, from whose `__post_init__` this is called.
    """
    for field in dataclasses.fields(settings):
        if isinstance(value := getattr(settings, field.name), os.PathLike):
            object.__setattr__(settings, field.name, os.fspath(value))


@contextlib.contextmanager
def reading(path: str | os.PathLike, expected: str, advice: str = "", setting: str = "") -> Iterator[None]:
    """Turns every error of the code inside it, which reads the file or folder at `path`, into one BadInput.

    A BadInput from inside passes as it is. A `path` that is neither a file nor a folder is refused before anything is
    opened, because a pipe would keep its reader waiting for ever.

    Args:
        path: The file or folder that is read.
        expected: What it should be, such as "a log of a drive".
        advice: A sentence that says what to do.
        setting: The setting that named the file, with which the line begins.
    """
    advice, name = f" {advice}" if advice else "", f"{setting}: {path}" if setting else path
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise BadInput(f"{name} is a pipe or a device, not a file. Expected {expected}.{advice}")
        yield
    except BadInput:
        raise
    except Exception as error:  # parsers raise what they like of bytes that nobody has written
        if isinstance(error, OSError) and error.strerror:
            raise BadInput(f"{name} cannot be read: {error.strerror}. Expected {expected}.{advice}") from error
        raise BadInput(f"{name} is not {expected}: {reason(error)}.{advice}") from error


def reads(expected: str, advice: str = "") -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Decorates a function whose first argument is a file's path, or its bytes, so that it runs inside `reading`."""

    def decorated(function: Callable[..., T]) -> Callable[..., T]:
        @functools.wraps(function)
        def read(source: Path | bytes, *rest: Any, **more: Any) -> T:
            if isinstance(source, bytes):
                return function(source, *rest, **more)
            with reading(source, expected, advice):
                return function(source, *rest, **more)

        return read

    return decorated


def text_of(path: str | os.PathLike, expected: str, advice: str = "", windows: bool = False) -> str:
    """Returns the text of a UTF-8 file, with or without a byte order mark; raises BadInput as `reading` does.

    Args:
        path: The file.
        expected: What it should be.
        advice: A sentence that says what to do.
        windows: Whether the file may also be as Excel saves text on Windows: in UTF-16 with its mark, or in code page
            1252, for which a file counts that holds no NUL and nothing like a letter of UTF-8; the latter is noted.
    """
    with reading(path, expected, advice):
        with open(path, "rb") as file:
            data = file.read()
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode(_encoding(path, io.BytesIO(data), windows))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def encoding_of(path: str | os.PathLike, expected: str) -> str:
    """Returns the encoding of a text that may be saved by Windows, as `text_of` has it, from one look at every line.

    Raises BadInput as `reading` does, also where it is none of those.
    """
    with reading(path, expected), open(path, "rb") as file:
        return _encoding(path, file, windows=True)


def _encoding(path: str | os.PathLike, lines: Iterable[bytes], windows: bool) -> str:
    place, other = "", not windows
    for number, line in enumerate(lines, start=1):
        if number == 1 and windows and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        other |= b"\0" in line
        if line.isascii():
            continue
        other |= _MULTIBYTE.search(line.removeprefix(codecs.BOM_UTF8)) is not None
        try:
            line.decode()
        except UnicodeDecodeError as error:
            place = place or f"line {number} holds the byte 0x{line[error.start]:02x}"
    if place and other:
        raise ValueError(f"{place}, which is not UTF-8")
    if place:
        faults.note(path, f"{place}, which is not UTF-8; it is read as Windows' code page 1252.")
    return "cp1252" if place else "utf-8-sig"


def json_of(path: str | os.PathLike, expected: str, advice: str = "") -> Any:
    """Returns the value in a JSON file.

    Raises BadInput as `reading` does, and also where an object has a key twice (the json module would keep one of them)
    or where a text holds half of a surrogate pair (such as \\ud800 alone), which no file can hold.
    """
    text = text_of(path, expected, advice)
    with reading(path, expected, advice):
        value = json.loads(text, object_pairs_hook=once)
        if _HALF.search(text):  # most often of a pair
            json.dumps(value, ensure_ascii=False).encode()
        return value


def is_number(value: Any, most: float = 1e15) -> bool:
    """Says whether a value of JSON is a number within `most` of zero, so that its square is finite in float32.

    NaN, true and false are no numbers.
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= most


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns an object of JSON from its pairs, as json's object_pairs_hook; raises ValueError for a key twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f'one of its objects has the key "{twice[:40]}" twice')
    return found


def reason(error: BaseException) -> str:
    """Returns what an error says, in one line without a full stop, led by the error's class where that tells more."""
    lines = dict.fromkeys(line.strip() for line in str(error).splitlines())  # converters say the same twice
    said = " ".join(" ".join(lines).split())[:_LONGEST].rstrip(". ")
    plain = said and not isinstance(error, LookupError | AttributeError | TypeError | AssertionError)
    return said if plain else f"{type(error).__name__} {said}".strip()
