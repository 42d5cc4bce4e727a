"""Says how far a run is: which step of how many, which epoch of how many, and how long that will still take.

A run declares its steps, and what works inside a step says its lines through this module: they begin with the step's
place, such as `step 2 of 5: Prune, epoch 2 of 4`. Outside a run, lines begin with what they say.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from contextvars import ContextVar

from absl import logging


@dataclasses.dataclass
class _Journey:
    """Holds the steps of a run, each with its number of epochs, and where the run is."""

    steps: Sequence[tuple[str, int]]
    number: int = 1
    epochs_done: int = 0
    part: str = ""


_current: ContextVar[_Journey | None] = ContextVar("journey", default=None)


@contextlib.contextmanager
def through(steps: Sequence[tuple[str, int]]) -> Iterator[None]:
    """Declares the steps of a run, (name, epochs of training) in their order, while the block runs."""
    token = _current.set(_Journey(steps))
    try:
        yield
    finally:
        _current.reset(token)


def begin(number: int) -> None:
    """Makes the step of this number, counted from 1, the current one."""
    journey = _current.get()
    journey.number, journey.epochs_done, journey.part = number, 0, ""


def begin_part(name: str) -> None:
    """Names the part of the current step that comes next, such as "round 2 of 3"."""
    if journey := _current.get():
        journey.part = name


def place() -> str:
    """Returns where the run is, such as "step 2 of 5: Prune", or "" outside a run."""
    journey = _current.get()
    if journey is None:
        return ""
    name = journey.steps[journey.number - 1][0]
    return ", ".join(filter(None, (f"step {journey.number} of {len(journey.steps)}: {name}", journey.part)))


def say(text: str) -> None:
    """Logs one line that begins with the place of the run."""
    logging.info("%s", ", ".join(filter(None, (place(), text))))


def resumed(epochs: int) -> None:
    """Counts epochs of the current step that an earlier process has trained."""
    if journey := _current.get():
        journey.epochs_done += epochs


def say_epoch(epoch: int, epochs: int, found: str, seconds: float) -> None:
    """Logs the line of a finished epoch, with the seconds that the step, and the steps to come, will still take.

    Args:
        epoch: The number of the epoch, counted from 1.
        epochs: How many the loop trains.
        found: What to say of it, such as "loss 0.4102".
        seconds: What it took; epochs to come are expected to take as long.
    """
    journey, later = _current.get(), 0
    left = epochs - epoch
    if journey:
        journey.epochs_done += 1
        left = max(journey.steps[journey.number - 1][1] - journey.epochs_done, left)
        later = sum(count for _, count in journey.steps[journey.number :])
    times = [f"{duration(left * seconds)} left"] if left else []
    times += [f"{duration((left + later) * seconds)} until all steps are trained"] if later else []
    say(", ".join([f"epoch {epoch} of {epochs}", found, *times]))


def duration(seconds: float) -> str:
    """Returns seconds as 8.2 s, 3 min 05 s or 2 h 10 min."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
