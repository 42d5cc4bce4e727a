"""Steps that change kernels see every kernel of the file, or refuse the layer by name before anything is trained."""

from __future__ import annotations

import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput
from tfmo_drive.steps.cluster import Cluster
from tfmo_drive.steps.prune import Prune
from tfmo_drive.targets.litert import LiteRTFloat32

layers = keras.layers
STEPS = [Prune(sparsity=0.7, epochs=0), Cluster(clusters=4, epochs=0)]
SEEN = {
    "separable": lambda x: layers.SeparableConv2D(8, 3, activation="swish", name="own")(x),
    "transposed": lambda x: layers.Conv2DTranspose(8, 3, name="own")(x),
    "depthwise": lambda x: layers.Conv2D(8, 1, name="own")(layers.DepthwiseConv2D(3)(x)),
    "nested": lambda x: keras.Sequential([layers.Input(x.shape[1:]), layers.SeparableConv2D(8, 3, name="own")])(x),
}
UNSEEN = {
    "TimeDistributed": lambda x: layers.TimeDistributed(layers.Dense(6), name="own")(layers.Reshape((-1, 3))(x)),
    "LSTM": lambda x: layers.LSTM(4, return_sequences=True, name="own")(layers.Reshape((-1, 3))(x)),
    "LocallyConnected2D": lambda x: layers.LocallyConnected2D(4, 3, name="own")(x),
    "EinsumDense": lambda x: layers.EinsumDense("abcd,de->abec", (None, 4, None), name="own")(x),
}


def model(body, task) -> keras.Model:
    image = keras.Input((task.image_size, task.image_size, 3))
    x = layers.Flatten()(body(image))
    return keras.Model(image, layers.Dense(len(task.class_names), name="answer")(x))


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
@pytest.mark.parametrize("body", SEEN)
def test_every_kernel_is_found_and_the_file_keeps_the_promise(body, step, context, tiny_task, tmp_path):
    found = step(model(SEEN[body], tiny_task), context())
    step.check(found)
    artifact = LiteRTFloat32()(found, tmp_path, context())
    step.check_artifact(artifact)
    assert len(artifact.weights()) >= 2 and {"own", "answer"} <= {layer.name for layer in found.layers}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
@pytest.mark.parametrize("body", UNSEEN)
def test_a_layer_whose_kernel_is_not_known_is_refused_by_name_before_training(body, step, context, tiny_task):
    with pytest.raises(BadInput, match=f'^{type(step).__name__} knows the kernels .*"own" is of the type {body}'):
        step(model(UNSEEN[body], tiny_task), context())
