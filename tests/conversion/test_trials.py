"""Conversions tried beforehand: the verdict is that of the real conversion, and a crash is a verdict too."""

from __future__ import annotations

import signal
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest

from tfmo_drive.base import python_file
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput, Context, Preprocessing
from tfmo_drive.conversion import conversion, trials
from tfmo_drive.conversion.freezing import Frozen, freeze
from tfmo_drive.targets.ethos_u import EthosU
from tfmo_drive.targets.litert import (
    LiteRTDynamic,
    LiteRTFloat16,
    LiteRTFloat32,
    LiteRTInt8,
    LiteRTInt16x8,
    LiteRTMixed,
)
from tfmo_drive.targets.onnx import OnnxFloat32, OnnxInt8
from tfmo_drive.targets.tflite_micro import TFLiteMicro

TARGETS = (
    LiteRTFloat32(), LiteRTFloat16(), LiteRTDynamic(), LiteRTInt8(), LiteRTMixed(), LiteRTInt16x8(), TFLiteMicro(),
    EthosU(), OnnxFloat32(), OnnxInt8(),
)  # fmt: skip
layers = keras.layers
OWN = """
    import dataclasses, os, pathlib
    from tfmo_drive.contracts import BadInput, Target

    @dataclasses.dataclass(frozen=True)
    class Own(Target):
        name: str = "own"
        signal: int = 0

        def trial(self, frozen, images, folder):
            if self.signal:
                os.kill(os.getpid(), self.signal)
            raise BadInput(f"{self.name} takes no {frozen.shape}.")

        def __call__(self, model, folder, context):
            raise BadInput("never converted")
"""


def hard_swish(x):
    return x * (layers.ReLU(6.0)(x + 3.0) * (1 / 6.0))


def recurrent(x):
    rows = layers.LSTM(4, name="reader")(layers.Reshape((16, -1))(x))
    return layers.Multiply()([x, layers.Reshape((1, 1, 4))(rows)])


MIDDLES = {"plain": layers.ReLU(), "sine": tf.sin, "hard_swish": hard_swish, "recurrent": recurrent}


def network(middle) -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    x = middle(layers.Conv2D(4, 3, 2, "same")(image))
    return keras.Model(image, layers.Dense(9)(layers.GlobalAveragePooling2D()(x)))


def trial(frozen, target, text="") -> trials.Trial:
    return trials.Trial(text, lambda: frozen, target)


@pytest.fixture
def own(tmp_path):
    (tmp_path / "mine.py").write_text(textwrap.dedent(OWN))
    return python_file.read(tmp_path / "mine.py").Own


@pytest.fixture
def no_child(monkeypatch):
    """no_child() -> from now on no process may be started."""
    return lambda: monkeypatch.setattr(trials, "_child", lambda *_: pytest.fail("a process is started"))


def test_a_graph_that_another_process_reads_gives_the_same_files(tiny_task, small_cnn, tmp_path):
    frozen = freeze(small_cnn, tiny_task.preprocessing)
    frozen.save(tmp_path / "graph")
    read, images = Frozen.load(tmp_path / "graph"), trials.noise(frozen.preprocessing, frozen.shape)
    assert read.name == small_cnn.name and read.origins["logits"] == ("logits", "Dense")
    for make in (
        conversion.float32,
        lambda one: conversion.int8(one, images),
        lambda one: conversion.int16x8(one, images),
    ):
        assert make(read) == make(frozen)


@pytest.mark.parametrize("name", MIDDLES)
def test_a_trial_says_what_the_conversion_will_say(name, tiny_task, tmp_path):
    """Each target's verdict beforehand, from noise, is that of the conversion on the data."""
    model = network(MIDDLES[name])
    work = Context(tiny_task, model, (), tmp_path, 0)
    said = trials.reasons([trial(freeze(model, work.task.preprocessing), target) for target in TARGETS])
    refused = {}
    for target in TARGETS:
        folder = work.workdir / target.name
        folder.mkdir()
        try:
            target(model, folder, work)
        except BadInput as error:
            refused[target.name] = str(error)
    assert {target.name: reason for target, reason in zip(TARGETS, said, strict=True) if reason} == refused
    assert bool(refused) == (name != "plain")
    if name == "sine":
        assert "1 SIN of tf.math.sin" in refused["litert_int8"]
    if name == "recurrent":
        assert "reader (LSTM)" in refused["litert_int16x8"]


def test_a_crash_refuses_one_target_and_the_others_are_tried_in_a_new_process(own, small_cnn, tiny_task, no_child):
    """A user's own target, in a file of his own; and what was found is not tried again."""
    frozen = freeze(small_cnn, tiny_task.preprocessing)
    targets = (own("first"), own("crashing", signal.SIGSEGV), own("last"))
    wanted = [trial(frozen, target, "a graph") for target in targets]
    said = trials.reasons(wanted)
    assert said[0] == "first takes no (1, 32, 32, 3)." and said[2] == "last takes no (1, 32, 32, 3)."
    assert "crashing" in said[1] and "SIGSEGV" in said[1] and small_cnn.name in said[1]
    no_child()
    assert trials.reasons([trial(frozen, target, "a graph") for target in targets]) == said


def test_what_is_killed_from_outside_has_no_verdict(own, small_cnn, tiny_task, no_child):
    wanted = [trial(freeze(small_cnn, tiny_task.preprocessing), own("killed", signal.SIGKILL), "another graph")]
    assert trials.reasons(wanted) == [""] and not wanted[0].place.exists()


def test_a_class_that_no_other_process_can_find_has_no_verdict(own, small_cnn, tiny_task, monkeypatch):
    """Its rows are left to the run; those of other targets are tried."""
    elsewhere = type("Elsewhere", (own,), {"__module__": "nowhere"})
    monkeypatch.setitem(sys.modules, "nowhere", SimpleNamespace(Elsewhere=elsewhere))
    frozen = freeze(small_cnn, tiny_task.preprocessing)
    lost, tried = trial(frozen, elsewhere("lost"), "a third graph"), trial(frozen, own("tried"), "a third graph")
    assert trials.reasons([lost, tried]) == ["", "tried takes no (1, 32, 32, 3)."]
    assert not lost.place.exists() and tried.place.exists()


def test_threads_and_kernels_share_a_verdict_and_whatever_changes_the_file_does_not():
    def place(target, text="a graph"):
        return trial(None, target, text).place

    assert place(LiteRTInt8()) == place(LiteRTInt8(threads=1, kernels="reference"))
    others = {place(LiteRTInt8()), place(LiteRTInt8(calibration="mse")), place(LiteRTMixed())}
    assert len(others | {place(LiteRTInt8(), "another")}) == 4


def test_noise_in_place_of_rows_is_finite_where_a_column_is_not_used():
    rule = Preprocessing("rows", (0, 1), (0.5, 0.0), (1.0, 0.0), input="row", input_range=None, dtype="float32")
    made = trials.noise(rule, (None, 2))
    assert np.isfinite(made).all() and np.isfinite(rule(made)).all() and made[:, 0].any()
