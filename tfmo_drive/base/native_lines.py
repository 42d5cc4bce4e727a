"""Keeps lines of TensorFlow's and LiteRT's native code that are known to be harmless from the error stream.

Native code writes to the descriptor before anything can configure it, so a small process reads the descriptor in the
terminal's place and hands on every line that is not known. What Python writes goes to the terminal directly.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

KNOWN = (
    r"WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR",
    r"I0000 .* port\.cc:\d+\] oneDNN custom operations are on\. .*",
    r"I0000 .* cudart_stub\.cc:\d+\] Could not find cuda drivers on your machine, GPU will not be used\.",
    r"INFO: Created TensorFlow Lite XNNPACK delegate for CPU\.",
    r"E0000 .* node_def_util\.cc:\d+\] NodeDef mentions attribute use_unbounded_threadpool which is not in the op .*",
)
"""Patterns of whole lines that say what is always so where this program runs."""
NO_GPU = (r"E0000 .* cuda_platform\.cc:\d+\] failed call to cuInit: .*",)
"""Patterns of lines that say that there is no GPU; where there is one, they say what is wrong with it."""
GPUS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg")
"""Device files, one of which exists where an NVIDIA GPU is (the last one in WSL)."""

_HAND_ON = """
import re, sys
known = re.compile(sys.argv[1])
for line in sys.stdin.buffer:
    if not known.fullmatch(line.decode(errors="replace").rstrip()):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
"""


def gpu_is_there() -> bool:
    """Says whether this machine has the device file of an NVIDIA GPU."""
    return any(map(os.path.exists, GPUS))


def hide_known() -> None:
    """Hides known lines of native code for the rest of this process; Python's sys.stderr stays on the terminal.

    What the process wrote last is handed on even where it dies, since the reading process lives until the last writer
    is gone.
    """
    terminal = os.dup(2)
    reader = _read_in_place_of(terminal)
    sys.stderr.flush()
    sys.stderr = os.fdopen(terminal, "w", buffering=1, errors="backslashreplace")
    reader.returncode = 0  # it outlives this process, and nobody is to wait for it


@contextlib.contextmanager
def hidden() -> Iterator[None]:
    """Hides known lines of native code while the block runs, in a process that is not ours to change for longer.

    Nothing is hidden where there is no error stream or no process can be started, as inside a program that embeds
    Python.
    """
    reader = None
    with contextlib.suppress(OSError):
        terminal = os.dup(2)
        reader = _read_in_place_of(terminal)
    try:
        yield
    finally:
        if reader:
            os.dup2(terminal, 2)
            os.close(terminal)
            with contextlib.suppress(subprocess.TimeoutExpired):  # a child of the block may hold the descriptor open
                reader.wait(1)


def _read_in_place_of(terminal: int) -> subprocess.Popen:
    """Starts a process that reads the error descriptor from now on and hands unknown lines on to `terminal`."""
    patterns = KNOWN if gpu_is_there() else KNOWN + NO_GPU
    words = [sys.executable, "-I", "-S", "-c", _HAND_ON, "|".join(patterns)]
    reader = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=terminal, start_new_session=True)
    os.dup2(reader.stdin.fileno(), 2)
    reader.stdin.close()
    return reader
