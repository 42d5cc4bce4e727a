"""Defines what a board is: a target, and how much of everything there is."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfmo_drive.base.python_file import read
from tfmo_drive.base.spelling import suggestion
from tfmo_drive.contracts import BadInput, Target
from tfmo_drive.report.rendering.numbers import significant

INTERPRETER_BYTES = 2**16
"""The bytes allowed for TensorFlow Lite Micro beside Vela's count; the pack's example prints what it really takes."""
FACTS = ("flash_bytes", "ram_bytes", "clock_hz", "channel_multiple")


@dataclasses.dataclass(frozen=True)
class Need:
    """Compares what a model needs of flash or RAM with what the board has of it."""

    what: str
    """The kind of memory: "flash" or "RAM"."""
    needs_bytes: int
    has_bytes: int
    counted: str
    """The parts of `needs_bytes` in words."""

    @property
    def fits(self) -> bool:
        """Says whether the board has as much as the model needs."""
        return self.needs_bytes <= self.has_bytes

    def __str__(self) -> str:
        spare = self.has_bytes - self.needs_bytes
        verdict = f"fits, {spare:,} to spare" if self.fits else f"does not fit, {-spare:,} too many"
        return f"{self.what}: needs {self.needs_bytes:,} bytes ({self.counted}) of {self.has_bytes:,}: {verdict}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Board:
    """Describes a board; every fact has a source.

    Firmware, of which nothing is known here, wants its share of flash and RAM.

    Args:
        title: The board's name for people.
        target: The target that makes its file.
        flash_bytes: The bytes that can hold the model file.
        ram_bytes: The bytes that can hold the model's arena in one piece.
        clock_hz: The processor's clock, in Hz.
        channel_multiple: The multiple of layer widths that leaves no lane idle.
        sources: The source of each fact, by the fact's name.
        microcontroller: Whether the model is linked into the firmware: it then gets a C array.
        cycles_per_mac: The fewest and the most cycles that one multiply-accumulate took in published measurements on
            such a processor, for an estimate of the time of an inference; None where there are none.

    Raises:
        BadInput: A fact has no source.
    """

    title: str
    target: Target
    flash_bytes: int
    ram_bytes: int
    clock_hz: int
    channel_multiple: int
    sources: Mapping[str, str]
    microcontroller: bool = False
    cycles_per_mac: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        facts = FACTS if self.cycles_per_mac is None else (*FACTS, "cycles_per_mac")
        if missing := [fact for fact in facts if not self.sources.get(fact)]:
            raise BadInput(f"{self.title}: no source of {', '.join(missing)}. Name a data sheet in Board.sources.")

    def estimate(self, macs: int) -> str:
        """Returns a sentence on the time of one inference of `macs` multiply-accumulates, marked as an estimate.

        It returns "" where nothing is published to estimate it from.
        """
        if self.cycles_per_mac is None:
            return ""
        low, high = (significant(macs * cycles / self.clock_hz * 1000, 2) for cycles in self.cycles_per_mac)
        fewest, most = (significant(cycles, 2) for cycles in self.cycles_per_mac)
        return (
            f"time: about {low} to {high} ms an inference; not measured, but estimated from {macs:,} "
            f"multiply-accumulates of {fewest} to {most} cycles each at {self.clock_hz / 1e6:g} MHz"
        )

    def needs(self, row: Mapping[str, Any]) -> tuple[Need, ...]:
        """Returns the needs of flash and RAM.

        Args:
            row: The keys of a report's row: size_bytes, and arena_bytes, npu or activation_bytes.
        """
        if "arena_bytes" in row:
            ram, counted = row["arena_bytes"], "the arena that TensorFlow Lite Micro takes"
        elif "npu" in row:
            ram = row["npu"]["arena_bytes"] + INTERPRETER_BYTES
            counted = f"the NPU's, by Vela, and {INTERPRETER_BYTES:,} for the interpreter"
        else:
            ram, counted = row["activation_bytes"] + row["size_bytes"], "activations and the file itself, at least"
        return (
            Need("flash", row["size_bytes"], self.flash_bytes, "the model file"),
            Need("RAM", ram, self.ram_bytes, counted),
        )


def names() -> list[str]:
    """Returns the names of all boards: the files beside this one."""
    return sorted(one.name for one in pkgutil.iter_modules([str(Path(__file__).parent)]) if one.name != "board")


def named(name: str) -> Board:
    """Returns the BOARD of a file beside this one, or of a file of one's own whose path is given.

    Raises BadInput with what there is where no board is called so.
    """
    if name.endswith(".py") and Path(name).is_file():
        found = getattr(read(Path(name)), "BOARD", None)
        if not isinstance(found, Board):
            raise BadInput(f"--board: {name} defines no BOARD = Board(...).")
        return found
    if name.endswith(".py"):
        raise BadInput(f"--board: there is no file {name}.")
    if name not in names():
        raise BadInput(f"--board: no board {name!r}. {suggestion(name, names())}")
    return importlib.import_module(f"tfmo_drive.boards.{name}").BOARD
