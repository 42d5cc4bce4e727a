"""Asks a process of its own, which may be taken down, for one thing after another: it imports TensorFlow once."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from typing import Any

IDLE_S = 30.0
"""The seconds for which the process waits to be asked again; it holds some hundred megabytes."""


class WarmProcess:
    """A `WarmProcess` runs a module as a program, which calls `serve`, and starts it again where it has ended.

    It imports what this process would, from where that lies when it is started.

    Args:
        module: The module's name.
        environment: What is different in its environment.
    """

    def __init__(self, module: str, environment: Mapping[str, str]):
        self.module, self.environment = module, environment
        self._process: subprocess.Popen | None = None
        self._said: Any = None
        self._paths, self._asking = "", threading.RLock()
        atexit.register(self.end)

    def start(self) -> None:
        """Starts the process, where there is none that imports what this one would."""
        paths = os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))
        with self._asking:
            if self._process and self._process.poll() is None and paths == self._paths:
                return
            self.end()
            self._said, self._paths = tempfile.TemporaryFile(), paths
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", self.module], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=self._said, text=True, env=os.environ | self.environment | {"PYTHONPATH": paths},
            )  # fmt: skip

    def ask(self, request: Any) -> int:
        """Returns 0 where a request (JSON types) was answered, or the code with which the process ended: -signal."""
        code = 0
        while code == 0:  # it may have ended because nobody asked for a while
            with self._asking:
                self.start()
                try:
                    self._process.stdin.write(f"{json.dumps([os.getcwd(), request])}\n")
                    self._process.stdin.flush()
                    if self._process.stdout.readline():
                        return 0
                except BrokenPipeError:
                    pass
                except BaseException:
                    self.end()
                    raise
                code = self._process.wait()
        return code

    def last_line(self) -> str:
        """Returns the last line that the process has written to its error stream."""
        self._said.seek(0)
        return (self._said.read().decode(errors="replace").strip().splitlines() or ["nothing was said"])[-1]

    def end(self) -> None:
        """Ends the process."""
        with self._asking:
            if self._process:
                self._process.kill()
                self._process.wait()
                for stream in (self._process.stdin, self._process.stdout, self._said):
                    with contextlib.suppress(BrokenPipeError):  # what was never read
                        stream.close()
            self._process = None


def serve(answer: Callable[[Any], None]) -> None:
    """Calls `answer` with every request that the other process makes, until that has gone, or makes none for IDLE_S."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks is told, and ends this process
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # converters print
    while select.select([sys.stdin], [], [], IDLE_S)[0] and (line := sys.stdin.readline()):
        folder, request = json.loads(line)
        os.chdir(folder)
        answer(request)
        print(file=answers, flush=True)
