"""Networks of this package go through every method, as `make architectures` proves it of those of Keras."""

from __future__ import annotations

import dataclasses

import pytest

from tests.bench import families
from tests.networks.test_backbones import SMALL
from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import Context
from tfmo_drive.networks import networks
from tfmo_drive.networks.backbones import PilotNet, UNet
from tfmo_drive.networks.detectors import SSD
from tfmo_drive.scenes.frames import Frames
from tfmo_drive.steps.channel_pruning import ChannelPruning
from tfmo_drive.steps.cluster import Cluster
from tfmo_drive.steps.fold_batch_norm import FoldBatchNorm
from tfmo_drive.steps.low_rank import LowRank
from tfmo_drive.steps.prune import Prune
from tfmo_drive.tasks.classification import Classification, Scenes
from tfmo_drive.tasks.detection.detection import Detection

SIDE = 64


@pytest.mark.parametrize("name", SMALL)
def test_every_method_finds_something_to_do_in_every_network(name):
    model = networks.build(SMALL[name], SIDE, 5)
    for step in (Prune(pattern="2:4"), ChannelPruning(pruning_ratio=0.5, multiple=2), LowRank(), Cluster()):
        step.refuse(model)
        assert step.idle(model) == "", type(step).__name__
    norms = any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
    assert norms or "no BatchNormalization" in FoldBatchNorm().idle(model)


@pytest.mark.slow
@pytest.mark.parametrize("network", [PilotNet(width=0.25), UNet(filters=(4, 8))], ids=lambda one: type(one).__name__)
def test_what_every_method_does_is_right(network, tmp_path):
    keras.utils.set_random_seed(0)
    task = Classification(image_size=SIDE, scenes=Scenes(train=64, val=36, test=36))
    context = Context(task, None, (), tmp_path, seed=0)
    model = families.alive(networks.build(network, SIDE, 10), context)
    context = dataclasses.replace(context, baseline=model)
    found = {name: families.cell(name, model, context) for name in families.METHODS}
    assert not {name: one.said for name, one in found.items() if not one.passed}


@pytest.mark.slow
def test_what_is_done_to_a_detector_on_several_maps_is_right(streets, tmp_path):
    """Its two outputs stand side by side here, for the proofs of the bench compare one."""
    keras.utils.set_random_seed(0)
    frames = Frames(train=32, val=32, test=32)
    task = Detection(channels=16, detector=SSD(strides=(4, 8, 16)), **{**streets, "scenes": frames})
    context = Context(task, None, (), tmp_path, seed=0)
    built = task.build()
    joined = keras.Model(built.inputs, keras.layers.Concatenate(name="joined")(built.outputs))
    model = families.alive(joined, context)
    context = dataclasses.replace(context, baseline=model)
    found = {name: families.cell(name, model, context) for name in ("fold", "channels", "int8", "qat")}
    assert not {name: one.said for name, one in found.items() if not one.passed}
    assert all(one.said != families.NOTHING for one in found.values())
