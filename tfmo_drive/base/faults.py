"""Reports what cannot be used in a data set.

Faults are counted, the first ten named, and refused unless they may be skipped; what is only said is kept for the
report.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from absl import logging

from tfmo_drive.base.spelling import shortened
from tfmo_drive.contracts import BadInput, one_line

NAMED, LONGEST = 10, 400
"""The number of faults that are named, and the number of letters that are shown of each."""
_noted: dict[tuple[str, str], None] = {}
"""What this process has said of data: (source, text), in the order in which it was said."""


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
    """Logs what is left out of data, or odd about it, and keeps it for the report.

    Args:
        source: The file or folder of the data, with which the line begins.
        text: The rest of the line, a whole sentence.
        level: The level of the log, logging.INFO for what is as it should be.
    """
    source, text = one_line(str(source)), one_line(text)
    logging.log(level, "%s: %s", source, text)
    _noted[source, text] = None


def noted(paths: Iterable[Path]) -> list[dict[str, str]]:
    """Returns what was noted of data at or below these paths, or beside those of them that are files."""
    places = [os.path.abspath(path if path.is_dir() else path.parent) for path in paths]
    return [
        {"source": source, "text": text}
        for source, text in _noted
        if any(os.path.commonpath([place, os.path.abspath(source)]) == place for place in places)
    ]
