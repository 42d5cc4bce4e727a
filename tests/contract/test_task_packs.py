"""Every task's model can be handed over: its pack proves itself, and its example says something of an image."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from PIL import Image

from tfmo_drive.boards.board import named
from tfmo_drive.contracts import Context
from tfmo_drive.pack.write_pack import write

BOARD = "raspberry_pi_4"


def ran(folder, *arguments):
    """(exit code, what was printed), without this checkout on the path."""
    done = subprocess.run([sys.executable, "-I", *map(str, arguments)], capture_output=True, text=True, cwd=folder)
    return done.returncode, done.stdout if done.returncode == 0 else done.stdout + done.stderr


def test_a_pack_verifies_and_its_example_answers(kind, tiny_models, tmp_path):
    task, model = tiny_models(kind)
    context = Context(task, model, (), tmp_path / "stages", 0)
    board, artifacts = named(BOARD), tmp_path / "artifacts" / "tiny" / BOARD
    artifacts.mkdir(parents=True)
    pack = write(board.target(model, artifacts, context), board, BOARD, context)
    assert ran(pack.folder, "verify.py") == (0, "Everything is as it was packed, and says what it said.\n")
    if task.preprocessing.dtype == "uint8":
        pixels = task.examples("test").read(np.arange(1))[0][0]
        Image.fromarray(pixels).save(tmp_path / "image.png")
        code, said = ran(pack.folder, "example.py", tmp_path / "image.png")
        assert code == 0 and said.strip(), said
