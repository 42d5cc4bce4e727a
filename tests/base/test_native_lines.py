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
BEGIN = """
import os, sys
from tfmo_drive.base import native_lines
native_lines.GPUS = {gpus!r}
"""
WRITE = """
os.write(2, {native!r}.encode())
print("from Python", file=sys.stderr)
os.system("echo from a child 1>&2")
os.write(2, b"F0000 the processor lacks AVX")
os.abort()
"""
BLOCK = WRITE.replace("\n", "\n    ")


def ran(source: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}  # as the package sets it
    return subprocess.run([sys.executable, "-c", source], text=True, capture_output=True, timeout=300, env=environment)


@pytest.mark.parametrize("body", [f"native_lines.hide_known(){WRITE}", f"with native_lines.hidden():{BLOCK}"],
                         ids=["the rest of a process", "a block"])  # fmt: skip
@pytest.mark.parametrize(("gpus", "shown"), [((), []), (("/dev/null",), [NO_GPU])], ids=["no GPU", "a GPU"])
def test_known_lines_are_hidden_and_all_others_shown_whatever_happens(gpus, shown, body):
    done = ran((BEGIN + body).format(native="\n".join((*SAID, NO_GPU, "E0000 another thing", "")), gpus=gpus))
    assert done.returncode == -signal.SIGABRT
    wanted = [*shown, "E0000 another thing", "from Python", "from a child", "F0000 the processor lacks AVX"]
    assert sorted(done.stderr.splitlines()) == sorted(wanted)


@pytest.mark.parametrize("spoilt", ["sys.executable = '/none'", "os.close(2)"])
def test_a_block_runs_where_nothing_can_be_hidden(spoilt):
    done = ran(f"{BEGIN.format(gpus=())}{spoilt}\nwith native_lines.hidden():\n    print('done')")
    assert (done.returncode, done.stdout) == (0, "done\n")


def test_after_a_block_the_error_stream_is_as_it_was():
    begin = f"{BEGIN.format(gpus=())}files = os.listdir('/proc/self/fd')\nwith native_lines.hidden():\n    "
    written, kept = f"os.write(2, {(SAID[3] + chr(10)).encode()!r})", "print(files == os.listdir('/proc/self/fd'))"
    done = ran(f"{begin}{written}\n{written}\n{kept}")
    assert (done.stderr, done.stdout) == (f"{SAID[3]}\n", "True\n")


@pytest.mark.slow
def test_the_librarys_first_use_of_tensorflow_says_nothing_and_imports_no_keras_3():
    done = ran(
        "import sys, tfmo_drive as td; td.compress; td.QuantizeAware; import tensorflow as tf; tf.constant(1.0) + 1\n"
        "print(*(name for name in ('keras.src', 'matplotlib.pyplot') if name in sys.modules))"
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "\n")
