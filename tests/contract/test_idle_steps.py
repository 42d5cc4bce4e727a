"""A step that would find nothing to do is refused before training, with the reason; one that finds something is not."""

from __future__ import annotations

import pytest

import tfmo_drive as td
from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.recipe import refuse_model
from tfmo_drive.contracts import BadInput

layers = keras.layers


def network(*body, outputs: int = 2) -> keras.Model:
    return keras.Sequential([keras.Input((8, 8, 3)), *body, layers.Flatten(), layers.Dense(outputs, name="out")])


def without_kernels() -> keras.Model:
    return keras.Sequential([keras.Input((8, 8, 3)), layers.AveragePooling2D(8), layers.Flatten()], name="pools")


def convolution(**settings):
    return layers.Conv2D(16, 3, name="seeing", **settings)


IDLE = {
    "no channels": (td.ChannelPruning(), lambda: network(), "0 of its channels can be removed.* Leave ChannelPruning"),
    "all groups skipped": (
        td.ChannelPruning(skip=("seeing",)), lambda: network(convolution()), "0 of its channels.* skip fewer layers"),
    "widths of one multiple": (
        td.ChannelPruning(multiple=16), lambda: network(convolution()), "groups of 16 channels stay whole.*Lower"),
    "no kernels": (td.Prune(), without_kernels, "no convolution and no dense layer. Leave"),
    "no kernels to share": (td.Cluster(), without_kernels, "no convolution and no dense layer. Leave"),
    "every kernel skipped": (td.Prune(skip=("out",)), lambda: network(), "1 kernels .out. fits.*Skip fewer"),
    "no kernel of a pattern": (
        td.Prune(pattern="2:4"), lambda: keras.Sequential([keras.Input((3,)), layers.Dense(2, name="out")]),
        'none of its 1 kernels .*pattern="unstructured"'),
    "only the output": (td.LowRank(), lambda: network(), "make its outputs or are skipped .out."),
    "nothing to factorise": (td.LowRank(), without_kernels, "that could be factorised. Leave LowRank"),
    "no BatchNorm": (td.FoldBatchNorm(), lambda: network(convolution()), "no BatchNorm.*Leave FoldBatchNorm"),
    "a BatchNorm that nobody absorbs": (
        td.FoldBatchNorm(), lambda: network(convolution(activation="relu"), layers.BatchNormalization(), layers.ReLU()),
        "no BatchNormalization, "),
    "no free scale": (
        td.Equalize(), lambda: network(convolution(activation="sigmoid")), "no channel's scale.*Leave Equalize"),
    "no kernel to round": (td.CorrectBias(), without_kernels, "to round. Leave CorrectBias"),
    "no scales": (td.Regularize(penalty="bn_scale"), lambda: network(convolution()), 'no BatchNorm.* Use penalty="l1"'),
}  # fmt: skip


@pytest.mark.parametrize("name", IDLE)
def test_a_step_with_nothing_to_do_is_refused_and_says_why(name):
    step, model, words = IDLE[name]
    with pytest.raises(BadInput, match=f"{type(step).__name__} would change nothing of .*{words}") as refused:
        refuse_model((step,), model(), None)
    assert "\n" not in str(refused.value)


def test_every_step_that_looks_for_layers_finds_them_in_a_plain_network():
    model = network(convolution(), layers.BatchNormalization(), layers.ReLU(), layers.Conv2D(16, 3), layers.ReLU())
    for step in {type(step): step for step, _, _ in IDLE.values()}:
        refuse_model((step(),), model, None)


def test_nothing_asked_for_is_no_reason():
    """Zero strength: the same recipe with every setting swept from nothing on."""
    model = network(convolution(), layers.ReLU())
    refuse_model((td.ChannelPruning(pruning_ratio=0.0), td.Prune(sparsity=0.0)), model, None)
