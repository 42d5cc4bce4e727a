"""Known lines of native code do not reach the terminal, all others do, also the last one of a process that dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAID = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1796003725.916737   31230 port.cc:153] oneDNN custom operations are on. You may see slightly",
    "I0000 00:00:1796003725.917071   31230 cudart_stub.cc:31] Could not find cuda drivers on your machine, GPU will "
    "not be used.",
    "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.",
    "E0000 00:00:1796005205.896900    6416 node_def_util.cc:682] NodeDef mentions attribute use_unbounded_threadpool "
    "which is not in the op definition: Op<name=MapDataset; signature=input_dataset:variant> This may be expected",
)
NO_GPU = "E0000 00:00:1796003728.998410   31230 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error: 303"
SOURCE = """
import os, sys
from tfmo_drive.base import native_lines
native_lines.GPUS = {gpus!r}
native_lines.hide_known()
os.write(2, {native!r}.encode())
print("from Python", file=sys.stderr)
os.system("echo from a child 1>&2")
os.write(2, b"F0000 the processor lacks AVX")
os.abort()
"""


@pytest.mark.parametrize(("gpus", "shown"), [((), []), (("/dev/null",), [NO_GPU])], ids=["no GPU", "a GPU"])
def test_known_lines_are_hidden_and_all_others_shown_whatever_happens(gpus, shown):
    source = SOURCE.format(native="\n".join((*SAID, NO_GPU, "E0000 another thing", "")), gpus=gpus)
    done = subprocess.run([sys.executable, "-c", source], text=True, capture_output=True, timeout=20,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert done.returncode == -signal.SIGABRT
    wanted = [*shown, "E0000 another thing", "from Python", "from a child", "F0000 the processor lacks AVX"]
    assert sorted(done.stderr.splitlines()) == sorted(wanted)
