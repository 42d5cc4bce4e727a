"""An entry is put in front of a file that stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import Preprocessing
from tfmo_drive.conversion import conversion
from tfmo_drive.conversion.freezing import freeze
from tfmo_drive.runtimes import flatbuffer_edit
from tfmo_drive.runtimes.tflite_entry import put

NAME = "NOTE"


@pytest.fixture(scope="module")
def model():
    image = keras.Input((8, 8, 3))
    return conversion.float32(freeze(keras.Model(image, keras.layers.Conv2D(4, 3)(image)), Preprocessing("none")))


def entries(content):
    """By the schema's own reader; a name that is there twice is an error."""
    root = schema.Model.GetRootAs(content, 0)
    found = [root.Metadata(i) for i in range(root.MetadataLength())]
    assert len({one.Name() for one in found}) == len(found)
    return {one.Name().decode(): root.Buffers(one.Buffer()).DataAsNumpy().tobytes() for one in found}


def test_the_file_behind_it_is_untouched(model):
    made = put(model, NAME, b"x" * 37)
    assert made.endswith(model) and (len(made) - len(model)) % 16 == 0
    assert entries(made) == entries(model) | {NAME: b"x" * 37} and entries(model)
    root = schema.Model.GetRootAs(made, 0)
    data = root.Buffers(root.BuffersLength() - 1)
    assert data._tab.Vector(4) % 16 == 0 and len(made) - len(model) < 1024


def test_another_takes_its_place(model):
    once = put(model, NAME, b"short")
    assert put(put(model, NAME, b"long" * 100), NAME, b"short") == once == put(once, NAME, b"short")


def test_entries_of_other_names_stay(model):
    both = put(put(model, "OTHER", b"first"), NAME, b"second")
    assert entries(both) == entries(model) | {"OTHER": b"first", NAME: b"second"}
    assert entries(put(both, "OTHER", b"third")) == entries(model) | {"OTHER": b"third", NAME: b"second"}


def test_an_entry_that_another_tool_wrote_anew_is_replaced(model):
    foreign = flatbuffer_edit.pack(flatbuffer_edit.unpack(put(model, NAME, b"theirs")))
    assert entries(foreign)[NAME] == b"theirs" and entries(put(foreign, NAME, b"ours"))[NAME] == b"ours"


def test_four_bytes_that_look_like_a_model_are_none(model):
    opened = flatbuffer_edit.unpack(model)
    largest = max((one for one in opened.buffers if one.data is not None), key=lambda one: len(one.data))
    largest.data = np.frombuffer(b"TFL3" * (len(largest.data) // 4), np.uint8)
    lookalike = flatbuffer_edit.pack(opened)
    assert put(lookalike, NAME, b"x").endswith(lookalike)


def test_a_file_with_buffers_behind_the_flatbuffer_is_left_alone(model):
    opened = flatbuffer_edit.unpack(model)
    opened.buffers[-1].offset, opened.buffers[-1].size = 2**31, 16
    large = flatbuffer_edit.pack(opened)
    assert put(large, NAME, b"x") == large


def test_a_file_without_any_entry_gets_one(model):
    opened = flatbuffer_edit.unpack(model)
    opened.metadata = None
    assert entries(put(flatbuffer_edit.pack(opened), NAME, b"x")) == {NAME: b"x"}
