"""How command lines end: one line for every error, and soon after Ctrl-C, whoever swallows it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tfmo_drive.commands.command_line import STOPPED, _at_home, guarded
from tfmo_drive.contracts import BadInput, BrokenPromise

ROOT = Path(__file__).parents[2]
WAITS = {
    "where it waits": "time.sleep(60)",
    "in a destructor": "late = Late(); del late; time.sleep(60)",
    "where it is caught": "try:\n  time.sleep(60)\nexcept KeyboardInterrupt:\n  time.sleep(60)",
    "in cleaning up": "try:\n  time.sleep(60)\nfinally:\n  time.sleep(60)",
    "in C code": "wait = ctypes.CDLL(None).usleep\nwhile True: wait(500_000)",
}
SOURCE = """
import ctypes, time
from tfmo_drive.commands import command_line
command_line.PATIENCE = {patience}
class Late:
    def __del__(self):
        time.sleep(60)
def main(argv):
    print("ready", flush=True)
    exec({code!r}, globals())
command_line.start(main)
"""


def _started(code: str, patience: float) -> subprocess.Popen:
    source = SOURCE.format(code=code, patience=patience)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = subprocess.Popen([sys.executable, "-c", source], env=environment, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)  # fmt: skip
    assert started.stdout.readline() == "ready\n"
    time.sleep(0.05)
    return started


@pytest.mark.parametrize("code", WAITS.values(), ids=WAITS)
def test_an_interrupted_command_stops_soon_whoever_swallows_it(code):
    started = _started(code, 0.5)
    started.send_signal(signal.SIGINT)
    errors = started.communicate(timeout=20)[1]
    assert started.returncode == 130 and errors.splitlines()[-1] == STOPPED, errors


def test_a_second_interrupt_ends_it_at_once():
    started = _started(WAITS["in cleaning up"], 60)
    started.send_signal(signal.SIGINT)
    time.sleep(0.2)
    started.send_signal(signal.SIGINT)
    assert started.communicate(timeout=20)[1].splitlines()[-1] == STOPPED and started.returncode == 130


def test_an_interrupt_while_modules_are_imported_is_one_line():
    started = subprocess.Popen([sys.executable, "-X", "importtime", "-m", "tfmo_drive", "compare"], cwd=ROOT, text=True,
                               stderr=subprocess.PIPE)  # fmt: skip
    while started.stderr.readline().split("|")[-1].strip() != "tfmo_drive":
        assert started.poll() is None
    started.send_signal(signal.SIGINT)
    said = started.communicate(timeout=20)[1]
    assert said.splitlines()[-1] == STOPPED and started.returncode == 130 and "Traceback" not in said


@pytest.mark.parametrize(("given", "words"), [
    ("--seed=4294967296", "is not an integer in the range [0, 4294967295]"), ("--seed=x", "flag --seed=x"),
    ("--sed=1", "Unknown command line flag 'sed'. Did you mean: seed"), ("--data=", "--data is empty"),
    ("--weights=", "--weights is empty"), ("--workdir=", "--workdir is empty"), ("--controls=", "--controls is empty"),
])  # fmt: skip
def test_flags_that_say_nothing_or_too_much_are_one_line(given, words):
    done = subprocess.run([sys.executable, "-m", "tfmo_drive", "run", "--experiment=smoke", given], cwd=ROOT, text=True,
                          capture_output=True)  # fmt: skip
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.startswith("error: ") and words in done.stderr and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize(("error", "told"), [
    (BadInput("two\nlines"), "error: two\\nlines"), (BrokenPromise("two\nlines"), "error: two lines"),
    (FileNotFoundError(2, "No such file", "a.csv"), "error: No such file (a.csv)."),
    (MemoryError("Unable to allocate 4 EiB"), "error: not enough memory: Unable to allocate 4 EiB."),
    (RuntimeError("Can't write\n(errno = 28, 'No space left on device')"), "No space left on device')"),
])  # fmt: skip
def test_errors_of_people_and_machines_are_one_line(capsys, error, told):
    def main(argv):
        raise error

    assert guarded(main)([]) == 1
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1


def test_an_error_of_the_program_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        guarded(lambda argv: 1 // 0)([])


@pytest.mark.parametrize(("typed", "meant"), [
    ("--data=~/x", "--data=/h/x"), ("--set=task.data=~/x", "--set=task.data=/h/x"), ("~/a/b", "/h/a/b"),
    ("--pages=~/a.md,~/b.md", "--pages=/h/a.md,/h/b.md"), ("--workdir=~", "--workdir=/h"), ("--data", "--data"),
    ("--data=a~/x", "--data=a~/x"), ("--data=~x", "--data=~x"), ("--set=a='~b'", "--set=a='~b'"),
])  # fmt: skip
def test_a_tilde_is_the_home_folder_in_every_flag_and_setting(monkeypatch, typed, meant):
    monkeypatch.setenv("HOME", "/h")
    assert _at_home(typed) == meant
