"""Memory alive at once, by hand; never more than the arena that TensorFlow Lite Micro takes for it."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.measures import live_memory
from tfmo_drive.runtimes import tflite_file
from tfmo_drive.runtimes.tflite_file import Graph, Operator, Tensor

NOTHING = np.zeros(0)


def tensor(name, *shape, dtype="INT8", data=None):
    return Tensor(f"net/{name}/op", (1, *shape), dtype, NOTHING, NOTHING, 0, data)


@pytest.fixture
def given(monkeypatch):
    def give(graph):
        monkeypatch.setattr(tflite_file, "read", lambda source: graph)
        return live_memory.peak("any")

    return give


def test_a_shortcut_is_held_while_its_branch_runs(given):
    image, stem, wide, narrow, added = (
        tensor("image", 10), tensor("stem", 100), tensor("wide", 400), tensor("narrow", 100), tensor("added", 100),
    )  # fmt: skip
    kernel = tensor("kernel", 10_000, data=np.zeros(1))
    graph = Graph(
        (image,), (added,),
        (
            Operator("CONV_2D", (image, kernel), (stem,)), Operator("CONV_2D", (stem, kernel), (wide,)),
            Operator("CONV_2D", (wide, kernel), (narrow,)), Operator("ADD", (narrow, stem), (added,)),
        ),
    )  # fmt: skip
    found = given(graph)
    assert found == live_memory.Peak(600, "narrow", (("wide", 400), ("stem", 100), ("narrow", 100)))
    assert found.to_dict() == {"bytes": 600, "layer": "narrow", "held": [["wide", 400], ["stem", 100], ["narrow", 100]]}


def test_float_counts_four_bytes_and_outputs_stay(given):
    image, early, late = tensor("image", 8), tensor("early", 50, dtype="FLOAT32"), tensor("late", 60)
    graph = Graph((image,), (early, late), (Operator("A", (image,), (early,)), Operator("B", (image, None), (late,))))
    found = given(graph)
    assert (found.bytes, found.layer) == (8 + 200 + 60, "late")
