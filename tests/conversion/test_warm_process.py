"""One process answers request after request; where it is taken down, or nobody asked for a while, another does."""

from __future__ import annotations

import os
import signal
import textwrap

import pytest

from tfmo_drive.conversion.warm_process import WarmProcess

PROGRAM = """
    import os, sys
    from pathlib import Path

    from tfmo_drive.conversion import warm_process

    def answer(request):
        print("converters print")
        if "signal" in request:
            os.kill(os.getpid(), request["signal"])
        if "error" in request:
            raise ValueError(request["error"])
        Path(request["file"]).write_text(f"{os.getpid()} {os.environ['SAID']}")

    warm_process.IDLE_S = float(os.environ["IDLE"])
    warm_process.serve(answer)
"""


@pytest.fixture
def other(tmp_path, monkeypatch):
    """other(idle) -> a process that writes its number and SAID into the file that it is asked for."""
    (tmp_path / "answering.py").write_text(textwrap.dedent(PROGRAM))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    made = []

    def start(idle: float) -> WarmProcess:
        made.append(WarmProcess("answering", {"SAID": "hello", "IDLE": str(idle)}))
        return made[-1]

    yield start
    for one in made:
        one.end()


def test_one_process_answers_until_it_is_taken_down(other, tmp_path):
    process = other(60)
    assert [process.ask({"file": name}) for name in ("first", "second")] == [0, 0]
    first, second = [(tmp_path / name).read_text() for name in ("first", "second")]
    assert first == second and first.split()[1] == "hello" and int(first.split()[0]) != os.getpid()
    assert process.ask({"signal": signal.SIGSEGV}) == -signal.SIGSEGV
    assert process.ask({"error": "two of three"}) == 1 and process.last_line() == "ValueError: two of three"
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")
    assert process.ask({"file": "third"}) == 0
    assert (tmp_path / "elsewhere" / "third").read_text() != first


def test_one_that_nobody_asks_ends_and_is_started_again(other, tmp_path):
    process = other(0)
    process.start()
    process._process.wait()
    assert process._process.returncode == 0
    process.environment["IDLE"] = "60"
    assert process.ask({"file": "late"}) == 0 and (tmp_path / "late").exists()
