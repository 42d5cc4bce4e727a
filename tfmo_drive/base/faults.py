"""What cannot be used of a data set: counted, the first ten named, and an error unless it may be left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from absl import logging

from tfmo_drive.base.spelling import shortened
from tfmo_drive.contracts import BadInput, one_line

NAMED, LONGEST = 10, 400


def counted(faults: Sequence[str], total: int, what: str) -> str:
    """`2 of 811 images are missing: a.jpg, b.jpg.` for faults ["a.jpg", "b.jpg"] and what "images are missing"."""
    more = f" and {len(faults) - NAMED:,} more" if len(faults) > NAMED else ""
    shown = ", ".join(shortened(fault, LONGEST) for fault in faults[:NAMED])
    return one_line(f"{len(faults):,} of {total:,} {what}: {shown}{more}.")


def refuse(
    source: Path, faults: Sequence[str], total: int, what: str, skip_bad: bool, treated: str = "left out"
) -> None:
    """Raise BadInput where there are faults, or with `skip_bad` warn that they are `treated`, unless nothing else is
    left."""
    if not faults:
        return
    text = f"{source}: {counted(faults, total, what)}"
    if len(faults) >= total:
        raise BadInput(f"{text} Mend them: nothing else is left.")
    if not skip_bad:
        raise BadInput(f"{text} Mend or remove them, or skip them with --set=task.skip_bad=True.")
    logging.warning("%s They are %s.", text, treated)
