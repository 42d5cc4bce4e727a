"""Damaged input for every reader, seeded: accepted with the right content, or refused in one line that names the file.

The suite tries a few cases of each reader; `make fuzz` ten thousand (CASES, READERS, SEED, CASE say which).
"""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import os
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pytest

from tfmo_drive.contracts import BadInput

SECONDS = 30
"""Most that one case may take: a reader that takes longer hangs."""


class Hang(BaseException):
    """The reader takes longer than a case may; no Exception, so that no reader takes it for a damaged file."""


@dataclasses.dataclass
class Case:
    """One damaged input: `folder` is its own and empty, `random` says how it is damaged."""

    folder: Path
    random: np.random.Generator
    refused: bool = False
    message: str = ""

    def read(self, path: Path | str, reader: Callable[[], Any]) -> Any:
        """What `reader` gives; None where it refuses, which must be one printable line that names `path`."""
        try:
            return reader()
        except BadInput as error:
            self.refused, self.message = True, str(error)
        assert self.message.isprintable(), f"more than one line: {self.message!r}"
        assert str(path) in self.message, f"{path} is not named: {self.message!r}"
        return None


@contextlib.contextmanager
def _watched(seconds: float, stderr: TextIO) -> Iterator[None]:
    """Hang after so many seconds; where C code does not come back to Python either, the process ends with its stack."""

    def late(*_):
        raise Hang(f"more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(4 * seconds, exit=True, file=stderr)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _place(error: BaseException) -> str:
    """What was raised, and where."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"


@pytest.fixture
def fuzz(request, tmp_path, capsys) -> Callable[..., None]:
    """fuzz(attempt, cases): `attempt(case)` for so many cases, or those that the environment asks for.

    `attempt` damages an input, lets `case.read` read it, and asserts that what was accepted is right. A case that fails
    is told with the command that repeats it, and its folder stays. Both verdicts must occur.
    """

    def run(attempt: Callable[[Case], None], cases: int, seconds: float = SECONDS) -> None:
        seed, only = int(os.environ.get("FUZZ_SEED", "0")), os.environ.get("FUZZ_CASE")
        numbers = [int(only)] if only else range(int(os.environ.get("FUZZ_CASES") or cases))
        readers = request.path.stem.removeprefix("test_fuzz_")
        folder, failed, refused, accepted = tmp_path / "case", [], 0, 0
        with capsys.disabled():
            stderr = os.fdopen(os.dup(2), "w")
        for number in numbers:
            (tmp_path / "number").write_text(f"{number}\n")  # where a reader takes the process down with it
            folder.mkdir()
            case = Case(folder, np.random.default_rng([seed, number]))
            try:
                with _watched(seconds, stderr):
                    attempt(case)
            except (Exception, Hang) as error:
                kept = folder.rename(tmp_path / f"failed_{number}")
                again = f"make fuzz READERS={readers} SEED={seed} CASE={number}"
                said = " ".join(str(error).split())[:200]
                failed.append((_place(error), f"{again}: {_place(error)}: {said} ({kept})"))
                if only:
                    raise
            else:
                shutil.rmtree(folder)
                refused, accepted = refused + case.refused, accepted + (not case.refused)
        with capsys.disabled():
            if "FUZZ_CASES" in os.environ:
                print(f"\n{readers}: {accepted} accepted, {refused} refused, {len(failed)} failed", end="")
        if failed:  # one example of each kind
            shown = "\n".join(sorted(dict(reversed(failed)).values()))
            pytest.fail(f"{len(failed)} of {len(numbers)} failed, such as:\n{shown}", pytrace=False)
        assert only or refused and accepted, f"{refused} of {len(numbers)} refused: nothing was tried"

    return run
