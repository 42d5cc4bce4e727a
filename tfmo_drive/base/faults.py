"""Reports what cannot be used in a data set: faults are counted, the first ten named, and refused unless they may be
skipped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from absl import logging

from tfmo_drive.base.spelling import shortened
from tfmo_drive.contracts import BadInput, one_line

NAMED, LONGEST = 10, 400


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
    logging.warning("%s They are %s.", text, treated)
