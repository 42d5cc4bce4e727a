"""Boards: every fact has a source, a model's needs are counted from what its runtime says, by hand."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from pathlib import Path

import pytest
from absl import flags
from absl.testing import flagsaver

from tfmo_drive.base.keras2 import keras
from tfmo_drive.boards import stm32h743
from tfmo_drive.boards.board import FACTS, Board, named, names
from tfmo_drive.commands import board_pack
from tfmo_drive.contracts import BadInput
from tfmo_drive.experiment import Experiment
from tfmo_drive.flow.flow import Chain
from tfmo_drive.pack.write_pack import Pack
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.classification import Classification

WEIGHTED = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
SOURCES = dict.fromkeys(FACTS, "data sheet")
SMALL = Board(
    title="Small", target=LiteRTInt8(), flash_bytes=1000, ram_bytes=500, clock_hz=1, channel_multiple=8, sources=SOURCES
)


def test_there_are_boards_of_three_kinds():
    kinds = {type(named(name).target).__name__ for name in names()}
    assert kinds >= {"LiteRTInt8", "TFLiteMicro", "EthosU"} and len(names()) >= 6


@pytest.mark.parametrize("name", names())
def test_every_board_can_be_made_and_is_plausible(name):
    board = named(name)
    assert 2**10 < board.ram_bytes <= 2**36 and 2**20 <= board.flash_bytes
    assert 10**8 <= board.clock_hz <= 4 * 10**9 and board.channel_multiple in (4, 8, 16)
    assert set(board.sources) == {*FACTS} | ({"cycles_per_mac"} if board.cycles_per_mac else set())


@pytest.mark.parametrize(("row", "ram"), [
    ({"size_bytes": 900, "arena_bytes": 500, "activation_bytes": 300}, 500),
    ({"size_bytes": 900, "npu": {"arena_bytes": 501}}, 501 + 65536),
    ({"size_bytes": 900, "activation_bytes": 300}, 1200),
])  # fmt: skip
def test_ram_is_the_arena_the_npus_or_all_that_must_be_there(row, ram):
    flash, memory = SMALL.needs(row)
    assert (flash.needs_bytes, flash.has_bytes, flash.fits) == (900, 1000, True)
    assert (memory.needs_bytes, memory.has_bytes, memory.fits) == (ram, 500, ram <= 500)


def test_a_misfit_says_by_how_much():
    flash, memory = SMALL.needs({"size_bytes": 1300, "arena_bytes": 420})
    assert str(flash) == "flash: needs 1,300 bytes (the model file) of 1,000: does not fit, 300 too many"
    assert str(memory).endswith("(the arena that TensorFlow Lite Micro takes) of 500: fits, 80 to spare")


def test_a_fact_without_a_source_is_refused():
    with pytest.raises(BadInput, match="Small: no source of clock_hz. Name a data sheet in Board.sources"):
        Board(**{**vars(SMALL), "sources": SOURCES | {"clock_hz": ""}})


def test_a_wrong_name_gets_what_there_is():
    with pytest.raises(BadInput, match="no board 'raspberry_pi'. Did you mean \"raspberry_pi_[45]\""):
        named("raspberry_pi")
    with pytest.raises(BadInput, match="there is no file nowhere/mine.py"):
        named("nowhere/mine.py")


def test_the_time_of_a_cortex_m_is_estimated_by_hand_and_marked_as_an_estimate():
    """12 million multiply-accumulates of 1.2 to 3.1 cycles at 480 MHz; 1,000 million are no 2.5e+03 ms."""
    board = named("stm32h743")
    said = board.estimate(12_000_000)
    assert said.startswith("time: about 30 to 78 ms an inference; not measured, but estimated from 12,000,000 multiply")
    assert said.endswith("of 1.2 to 3.1 cycles each at 480 MHz")
    assert "about 2500 to 6500 ms" in board.estimate(1_000_000_000)
    assert SMALL.estimate(12_000_000) == ""
    with pytest.raises(BadInput, match="Small: no source of cycles_per_mac"):
        dataclasses.replace(SMALL, cycles_per_mac=(1, 2))


def test_the_networks_that_were_timed_have_the_multiply_accumulates_of_the_boards_file():
    mobilenet = keras.applications.MobileNetV2((80, 80, 3), alpha=0.30, weights=None, classes=1000)
    for model, counted in ((mobilenet, stm32h743.MOBILENET_MACS), (mlperf_tiny_resnet(), stm32h743.RESNET_MACS)):
        kernels = [(one.weights[0].shape, one.output.shape) for one in model.layers if isinstance(one, WEIGHTED)]
        assert sum(math.prod((*kernel, *output[1:-1])) for kernel, output in kernels) == counted


def mlperf_tiny_resnet() -> keras.Model:
    """Builds benchmark/training/image_classification/keras_model.py of github.com/mlcommons/tiny, with 16 filters."""
    layers = keras.layers

    def convolution(x, filters, size, stride):
        return layers.Conv2D(filters, size, stride, padding="same")(x)

    image = keras.Input((32, 32, 3))
    x = convolution(image, 16, 3, 1)
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        branch = convolution(convolution(x, filters, 3, stride), filters, 3, 1)
        x = layers.Add()([branch, x if stride == 1 else convolution(x, filters, 1, stride)])
    return keras.Model(image, layers.Dense(10)(layers.Flatten()(layers.AveragePooling2D(8)(x))))


@pytest.mark.parametrize(("flash", "code"), [(10**9, 0), (10, 1)])
def test_a_board_that_a_model_does_not_fit_is_exit_code_1_and_its_pack_is_written(flash, code, monkeypatch, capsys):
    written, asked = [], []
    board = dataclasses.replace(SMALL, flash_bytes=flash, ram_bytes=10**9)

    def write(*given):
        written.append(given)
        return Pack(Path("pack"), Path("pack.zip"), board.needs({"size_bytes": 900, "arena_bytes": 1}), "time: 3 ms")

    @dataclasses.dataclass
    class Run:
        experiment: Experiment

        def chain(self):
            return contextlib.nullcontext(Chain(None, {}, [object()]))

    monkeypatch.setattr("tfmo_drive.boards.board.named", lambda name: board)
    monkeypatch.setattr(board_pack.baseline_worth, "warn", lambda context, split: asked.append(split))
    monkeypatch.setattr("tfmo_drive.pack.write_pack.write", write)
    monkeypatch.setattr(board_pack.chosen_run, "run", lambda argv: Run(Experiment(task=Classification())))
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["tfmo-drive"])
    with flagsaver.flagsaver(board="small"):
        assert board_pack.main(["tfmo-drive"]) == code and asked == ["test"]
    said = capsys.readouterr().out
    assert written and "time: 3 ms" in said and ("does not fit" in said) == bool(code)
