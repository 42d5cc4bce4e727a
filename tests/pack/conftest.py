"""Packs of one tiny residual network, for a computer, a microcontroller and a microcontroller with an NPU."""

from __future__ import annotations

import dataclasses
import json

import pytest

from tests.targets.conftest import Guessing, residual
from tfmo_drive.boards.board import named
from tfmo_drive.contracts import Context
from tfmo_drive.expect import Expect
from tfmo_drive.pack.write_pack import write


@pytest.fixture(scope="session")
def model():
    return residual()


def packed(model, folder, board, expect=Expect()):  # noqa: B008
    """The board's pack of a model, made by its own target."""
    context = Context(Guessing(), model, (), folder / "stages", 0)
    artifacts = folder / "artifacts" / "tiny" / board
    artifacts.mkdir(parents=True)
    target = dataclasses.replace(named(board).target, calibration_images=20)
    return write(target(model, artifacts, context), named(board), board, context, expect)


@pytest.fixture(scope="session")
def packing():
    """packing(model, folder, board) -> its pack; the folder's artifacts must not be there yet."""
    return packed


@pytest.fixture(scope="session")
def pack(model, tmp_path_factory):
    return packed(model, tmp_path_factory.mktemp("linux"), "raspberry_pi_4")


@pytest.fixture(scope="session")
def small(model, tmp_path_factory):
    return packed(model, tmp_path_factory.mktemp("micro"), "stm32h743")


@pytest.fixture(scope="session")
def npu(model, tmp_path_factory):
    """Of a run that was measured."""
    folder = tmp_path_factory.mktemp("npu")
    row = {"name": "tiny/int8", "score": 0.9, "score_low": 0.8, "score_high": 0.95, "score_delta": -0.013,
           "size_bytes": 1234, "runtime": "ethos-u55-128"}  # fmt: skip
    missed = {"name": "score_drop", "row": "tiny/int8", "bound": 0.01, "value": 0.013, "unit": "points"}
    busy = missed | {"name": "latency_p95_ms", "unit": "ms", "bound": 10.0, "value": 12.34, "passed": None}
    report = {"schema": 2, "rows": [row], "expect": [missed | {"passed": False, "least": False}, busy]}
    (folder / "report.json").write_text(json.dumps(report))
    return packed(model, folder, "corstone_300")
