"""Ends a command line: with one line that says what to do about an error, with its exit code, and at once on Ctrl-C."""

from __future__ import annotations

import errno
import functools
import logging as python_logging
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable

from absl import app, flags, logging

from tfmo_drive import STOPPED
from tfmo_drive.base import native_lines
from tfmo_drive.base.atomic import DISK_SIGNS
from tfmo_drive.base.given_file import reason
from tfmo_drive.contracts import BadInput, BrokenPromise

DISK = "Free some space, or choose another folder with --workdir."
DISK_ERRORS = (*DISK_SIGNS.values(), errno.EACCES)
PATIENCE = 5.0
"""The seconds that an interrupted run has to stop by itself."""

Main = Callable[[list[str]], int]


def start(main: Main) -> None:
    """Runs the process as a command line: reads the flags, runs `main` on the rest, exits with its code."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # nohup ignores it
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _stop_soon_after_interrupts()
    app.run(guarded(main), flags_parser=functools.partial(_parsed, main))


def _speak_plainly() -> None:
    """Sets how the log is shown on the terminal: its lines alone, without their place in the code."""
    native_lines.hide_known()
    handler = logging.get_absl_handler()
    handler.python_handler.stream = sys.stderr
    handler.setFormatter(_Plain())


class _Plain(python_logging.Formatter):
    """Formats a line of the log as it was written; one that warns begins with "warning: "."""

    def format(self, record: python_logging.LogRecord) -> str:
        said = super().format(record)
        return f"warning: {said}" if record.levelno >= python_logging.WARNING else said


def guarded(main: Main) -> Main:
    """Returns `main` with bad input, broken promises, disk and memory errors told in one line each."""

    def run(argv: list[str]) -> int:
        try:
            _refuse_empty()
            return main(argv)
        except (BadInput, BrokenPromise) as error:
            _tell(error)
        except KeyboardInterrupt:
            print(STOPPED, file=sys.stderr)
            return 130
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            advice = f" {DISK}" if error.errno in DISK_ERRORS else ""
            _tell(f"{error.strerror or error}{where}.{advice}")
        except Exception as error:
            if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's
                _tell(f"not enough memory: {reason(error)}. Choose smaller images, batches or counts.")
                return 1
            if not any(sign in str(error) for sign in DISK_SIGNS):
                raise
            _tell(f"{reason(error)}. {DISK}")
        return 1

    return run


def _refuse_empty() -> None:
    """Raises BadInput for an empty flag: a shell's unset variable makes one, and the default would hide that."""
    for name in flags.FLAGS:
        if flags.FLAGS[name].value in ("", []) and flags.FLAGS[name].default != flags.FLAGS[name].value:
            raise BadInput(f"--{name} is empty. Give a value, or leave it out.")


def _tell(error: object) -> None:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)


def _parsed(main: Main, argv: list[str]) -> list[str]:
    if {"-h", "--help", "--helpshort"} & set(argv[1:]):
        module = sys.modules[main.__module__]
        print(module.__doc__, *flags.FLAGS.module_help(module).split("\n")[2:], sep="\n")
        sys.exit(0)
    try:
        rest = flags.FLAGS([argv[0], *map(_at_home, argv[1:])])
    except flags.Error as error:
        _tell(f"{str(error).rstrip('. ')}. See --help.")
        sys.exit(1)
    _speak_plainly()
    return rest


def _at_home(word: str) -> str:
    """Returns an argument with the home folder for the ~ with which a value in it begins.

    A shell puts it only where the whole argument begins so, and not into --data=~/images.
    """
    return re.sub("(?:^|(?<=[=,]))~(?=/|$)", lambda _: os.path.expanduser("~"), word)


def _stop_soon_after_interrupts() -> None:
    """Ends the process soon after Ctrl-C, also where the KeyboardInterrupt gets lost.

    Where a destructor or a callback of C code swallows it, or C code does not come back, the process ends after
    PATIENCE, and at once when Ctrl-C is pressed again. Files appear whole or not at all, so nothing is lost by that.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)

    def watch() -> None:
        while signal.SIGINT not in ours.recv(1):
            pass
        ours.settimeout(PATIENCE)
        try:
            while signal.SIGINT not in ours.recv(1):
                pass
        except TimeoutError:
            pass
        os.write(2, f"{STOPPED}\n".encode())
        os._exit(130)

    threading.Thread(target=watch, daemon=True, name="interrupts").start()
    _open.append(theirs)


_open: list[socket.socket] = []
"""The sockets that stay open for the life of the process."""
