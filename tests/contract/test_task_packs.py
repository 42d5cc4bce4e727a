"""Every task's model can be handed over: its pack proves itself, and says of an input what the task itself says of it.

`predict`, `example.py` and `example.cc` know no task: they work from the metadata's `decode` alone.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pack.c_api import C_API, STRICT, headers
from tfmo_drive.base.outputs import at
from tfmo_drive.boards.board import named
from tfmo_drive.commands import predict
from tfmo_drive.contracts import Context
from tfmo_drive.pack.write_pack import Pack, write
from tfmo_drive.runtimes import interpreters

BOARD = "raspberry_pi_4"
_NUMBER = re.compile(r"-?\d+\.?\d*")


@dataclasses.dataclass(frozen=True)
class Packed:
    """A task's pack, a file of one raw input, and the lines that the task itself would have said of it."""

    pack: Pack
    file: Path
    raw: np.ndarray
    lines: list[str]


@pytest.fixture(scope="module")
def packed(kind, case, tiny_models, tmp_path_factory):
    """One pack for all tests of a task class; the module's tests are grouped by it."""
    task, model = tiny_models(kind)
    task = case.packed(task)
    folder = tmp_path_factory.mktemp("pack")
    context = Context(task, model, (), folder / "stages", 0)
    board, artifacts = named(BOARD), folder / "artifacts" / "tiny" / BOARD
    artifacts.mkdir(parents=True)
    pack = write(board.target(model, artifacts, context), board, BOARD, context)
    raw = task.examples("test").read(np.arange(1))[0]
    said = at(interpreters.load(pack.folder / "model.tflite").predict(raw), 0)
    if raw.dtype == np.uint8:
        file = folder / "image.png"
        Image.fromarray(raw[0]).save(file)
    else:
        file, columns = folder / "rows.csv", json.loads((pack.folder / "model.json").read_text())["input"]["columns"]
        cells = [["unused", *columns], ["7", *map(repr, raw[0].tolist())]]
        file.write_text("".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in cells))
    return Packed(pack, file, raw[0], case.says(task, said))


def ran(folder, *arguments):
    """(exit code, what was printed), without this checkout on the path."""
    done = subprocess.run([sys.executable, "-I", *map(str, arguments)], capture_output=True, text=True, cwd=folder)
    return done.returncode, done.stdout if done.returncode == 0 else done.stdout + done.stderr


def assert_alike(found: list[str], wanted: list[str], apart: float) -> None:
    """Equal words, and numbers that differ by at most `apart`, or a hundredth of themselves."""
    assert [_NUMBER.sub("N", line) for line in found] == [_NUMBER.sub("N", line) for line in wanted]
    for line, other in zip(found, wanted, strict=True):
        pairs = zip(_NUMBER.findall(line), _NUMBER.findall(other), strict=True)
        assert all(float(a) == pytest.approx(float(b), abs=apart, rel=0.01) for a, b in pairs), (line, other)


def test_a_pack_verifies(packed):
    assert ran(packed.pack.folder, "verify.py") == (0, "Everything is as it was packed, and says what it said.\n")


def test_the_packs_example_says_what_the_task_says(packed):
    code, said = ran(packed.pack.folder, "example.py", packed.file)
    rows = ["row 1"] if packed.file.suffix == ".csv" else []
    assert code == 0 and said.splitlines() == rows + packed.lines, said


def test_predict_says_the_same(packed, capsys):
    predict.flags.FLAGS.mark_as_parsed()
    assert predict.main(["predict", str(packed.pack.folder / "model.tflite"), str(packed.file)]) == 0
    first, *said = capsys.readouterr().out.splitlines()
    assert first.startswith(str(packed.file)) and [line[2:] for line in said] == packed.lines


@pytest.mark.skipif(not shutil.which("g++"), reason="no g++ here")
@pytest.mark.skipif(not importlib.util.find_spec("pymicro_wakeword"), reason="no TensorFlow Lite C library here")
def test_the_c_example_says_the_same(packed, tmp_path):
    library = Path(importlib.util.find_spec("pymicro_wakeword").origin).parent / "lib"
    include = headers(tmp_path, {"c/c_api.h": C_API})
    subprocess.run([*STRICT, "-I", include, packed.pack.folder / "example.cc", library / "libtensorflowlite_c.so",
                    f"-Wl,-rpath,{library}", "-o", tmp_path / "example"], check=True)  # fmt: skip
    packed.raw.tofile(tmp_path / "raw")
    done = subprocess.run(
        [tmp_path / "example", tmp_path / "raw"], cwd=packed.pack.folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert_alike(done.stdout.splitlines(), packed.lines, apart=1.0)  # its XNNPACK is older: some steps of int8
