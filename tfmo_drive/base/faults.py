"""Reports what cannot be used in a data set.

Faults are counted, the first ten named, and refused unless they may be skipped. What is only said is gathered for the
report of every run that uses the data, also where they were listed before it began.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import logging

from tfmo_drive.base.spelling import shortened
from tfmo_drive.contracts import BadInput, one_line

NAMED, LONGEST = 10, 400
"""The number of faults that are named, and the number of letters that are shown of each."""


class Note(NamedTuple):
    """Says what is left out of data, or odd about it: the file or folder, and the sentence."""

    source: str
    text: str


_gathering: list[dict[Note, None]] = []
"""What the blocks that gather have heard so far, in the order in which it was said; the innermost is the last."""


def counted(faults: Sequence[str], total: int, what: str) -> str:
    """Returns one line that counts the faults and names the first ten, as "2 of 811 images are missing: a.jpg, b.jpg."

    Args:
        faults: What is faulty, such as ["a.jpg", "b.jpg"].
        total: The number of things looked at.
        what: The things and their fault, such as "images are missing".
    """
    more = f" and {len(faults) - NAMED:,} more" if len(faults) > NAMED else ""
    shown = ", ".join(shortened(fault, LONGEST) for fault in faults[:NAMED])
    return one_line(f"{len(faults):,} of {total:,} {what}: {shown}{more}.")


def refuse(
    source: Path, faults: Sequence[str], total: int, what: str, skip_bad: bool, treated: str = "left out"
) -> None:
    """Raises BadInput where there are faults; with `skip_bad` it only warns, as long as something else is left.

    Args:
        source: The file or folder of the data, with which the line begins.
        faults: What is faulty; the first ten are named.
        total: The number of things looked at.
        what: The things and their fault, such as "images are missing".
        skip_bad: Whether the user allows that faulty things are skipped.
        treated: What happens to the faulty ones, for the warning.
    """
    if not faults:
        return
    text = f"{source}: {counted(faults, total, what)}"
    if len(faults) >= total:
        raise BadInput(f"{text} Mend them: nothing else is left.")
    if not skip_bad:
        raise BadInput(f"{text} Mend or remove them, or skip them with --set=task.skip_bad=True.")
    note(source, f"{counted(faults, total, what)} They are {treated}.")


def note(source: str | Path, text: str, level: int = logging.WARNING) -> None:
    """Logs what is left out of data, or odd about it, and gives it to all blocks that gather.

    Args:
        source: The file or folder of the data, with which the line begins.
        text: The rest of the line, a whole sentence.
        level: The level of the log, logging.INFO for what is as it should be.
    """
    said = Note(one_line(str(source)), one_line(text))
    logging.log(level, "%s: %s", said.source, said.text)
    for heard in _gathering:
        heard[said] = None


@contextlib.contextmanager
def gathered() -> Iterator[dict[Note, None]]:
    """Yields what is noted while the block runs, each once, in the order in which it is said first."""
    heard: dict[Note, None] = {}
    _gathering.append(heard)
    try:
        yield heard
    finally:
        _gathering[:] = [other for other in _gathering if other is not heard]


class noting:  # noqa: N801  # a decorator, as functools.cached_property is
    """Computes a property once, as functools.cached_property does, and keeps what was noted meanwhile.

    Whoever gathers while it is asked for again hears the notes too, and the log does not: a second run in one process
    finds its data listed, and its report says of them what the first one's does.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function, self.__doc__ = function, function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._place = f"{name} and its notes"

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        kept = instance.__dict__
        if self._place not in kept:
            with gathered() as notes:
                found = self._function(instance)
            kept[self._place] = found, tuple(notes)
        found, notes = kept[self._place]
        for heard in _gathering:
            heard.update(dict.fromkeys(notes))
        return found
