"""Quantised means quantised: every kernel and activation that the int8 file stores had a fake quantiser in Keras, and
the file says what the fake-quantised model says."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bench.survey import LEAST_DB, classifier, decibels
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.recipe import apply_steps
from tfmo_drive.contracts import BadInput, BrokenPromise
from tfmo_drive.networks import graph, layers, plain_layers
from tfmo_drive.networks.backbones import ResNet, SmallCNN
from tfmo_drive.networks.integers import quantize_scheme
from tfmo_drive.networks.networks import Head, build
from tfmo_drive.runtimes import tflite_file
from tfmo_drive.steps.fold_batch_norm import FoldBatchNorm
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTInt8

L = keras.layers
FAST = QuantizeAware(epochs=0, calibration_images=32)


def conv(x, kind=L.Conv2D, **settings):
    return kind(8, 3, 2, "same", **settings)(x)


def conv_bn(x, kind=L.Conv2D):
    return L.BatchNormalization()(conv(x, kind, use_bias=False))


def inverted_residual(x):
    """MobileNetV2's block: widened, depthwise, narrowed without an activation, and added to what it was made of."""
    narrow = L.BatchNormalization()(conv(x, use_bias=False))
    wide = L.ReLU(6.0)(L.BatchNormalization()(L.Conv2D(24, 1, use_bias=False)(narrow)))
    wide = L.ReLU(6.0)(L.BatchNormalization()(L.DepthwiseConv2D(3, padding="same", use_bias=False)(wide)))
    return L.Add()([narrow, L.BatchNormalization()(L.Conv2D(8, 1, use_bias=False)(wide))])


def pooled(x):
    return L.GlobalAveragePooling2D()(L.ReLU()(conv(x)))


BODIES = {
    "conv_relu": lambda x: L.ReLU()(conv(L.ReLU()(conv(x)))),
    "conv_activation_relu": lambda x: conv(L.Activation("relu")(conv(x))),
    "conv_activation_relu6": lambda x: conv(L.Activation("relu6")(conv(x))),
    "depthwise_relu6": lambda x: L.ReLU(6.0)(L.DepthwiseConv2D(3, padding="same")(L.ReLU()(conv(x)))),
    "transposed_relu": lambda x: L.ReLU()(conv(L.ReLU()(conv(x)), L.Conv2DTranspose)),
    "transposed_bn_relu": lambda x: L.ReLU()(conv_bn(L.ReLU()(conv_bn(x)), L.Conv2DTranspose)),
    "dense_relu": lambda x: L.ReLU()(L.Dense(16)(pooled(x))),
    "dense_bn_relu": lambda x: L.ReLU()(L.BatchNormalization()(L.Dense(16)(pooled(x)))),
    "separable": lambda x: L.ReLU()(L.SeparableConv2D(8, 3, 2)(L.SeparableConv2D(16, 3, 2, activation="relu")(x))),
    "separable_bn_relu": lambda x: L.ReLU()(L.BatchNormalization()(L.SeparableConv2D(8, 3, 2, use_bias=False)(x))),
    "leaky_relu": lambda x: L.ReLU(negative_slope=0.1)(conv(L.LeakyReLU(0.2)(conv_bn(x)))),
    "sigmoid_and_tanh": lambda x: L.Activation("tanh")(conv(L.Activation("sigmoid")(conv_bn(x)))),
    "swish_of_its_own": lambda x: conv(conv(x, activation="swish"), activation="relu"),
    "gelu_of_its_own": lambda x: L.Dense(8, "gelu")(pooled(x)),
    "separable_swish": lambda x: L.SeparableConv2D(8, 3, 2, activation="swish")(x),
    "swish": lambda x: L.Activation("swish")(conv_bn(x)),
    "norm_first": lambda x: L.ReLU()(L.Conv2D(8, 3, 2)(L.BatchNormalization()(x))),
    "normalization_first": lambda x: conv_bn(L.Normalization(mean=[120, 110, 100], variance=[60**2] * 3)(x)),
    "rescaling_first": lambda x: L.ReLU()(conv_bn(L.Rescaling(1 / 255.0)(x))),
    "sum_relu": lambda x: L.ReLU()(L.Add()([L.ReLU()(conv_bn(x)), conv(x)])),
    "read_twice": lambda x: (lambda y: L.Add()([L.ReLU()(y), y]))(conv(x)),
    "norm_read_twice": lambda x: (lambda y: L.Add()([L.ReLU()(y), y]))(conv_bn(x)),
    "concatenated_convolutions": lambda x: L.ReLU()(L.Concatenate()([conv(x), conv(x, activation="relu")])),
    "concatenated_at_three_depths": lambda x: conv(
        L.Concatenate()([L.ReLU()(conv_bn(x)), conv(x), L.ReLU()(conv(x)), L.MaxPooling2D()(x)])
    ),
    "concatenated_twice": lambda x: L.Concatenate()([L.Concatenate()([conv(x), L.ReLU()(conv(x))]), conv_bn(x)]),
    "depthwise_multiplier": lambda x: L.ReLU()(
        L.BatchNormalization()(L.DepthwiseConv2D(3, depth_multiplier=2)(conv(x)))
    ),
    "inverted_residual": lambda x: inverted_residual(inverted_residual(x)),
    "scaled_gate": lambda x: L.Multiply()([conv(x), L.Reshape((1, 1, 8))(L.Dense(8, "sigmoid")(pooled(x)))]),
    "norm_behind_relu": lambda x: conv(L.BatchNormalization()(conv(x, activation="relu"))),
    "norm_of_rows_behind_relu": lambda x: L.BatchNormalization()(L.ReLU()(L.Dense(8)(pooled(x)))),
    "norm_behind_dropout": lambda x: L.ReLU()(L.BatchNormalization()(L.SpatialDropout2D(0.1)(conv(x)))),
    "noise": lambda x: conv(L.GaussianNoise(1.0)(x)),
    "elu": lambda x: conv(L.ELU()(conv(x, activation="elu"))),
    "elu_rearranged": lambda x: L.Flatten()(L.Permute((2, 1, 3))(conv(x, activation="elu"))),
    "elu_flattened": lambda x: L.Dense(8, "elu")(L.Flatten()(L.Dropout(0.1)(conv(conv(x), activation="elu")))),
    "mish_softplus": lambda x: conv(tf.nn.softplus(conv(x, activation="mish"))),
    "resized_as_tensorflow_1_does": lambda x: conv(
        tf.compat.v1.image.resize(conv(x, activation="relu"), (24, 24), align_corners=True)
    ),
    "selu_average_hard_sigmoid": lambda x: L.Average()(
        [conv(x, activation="selu"), conv(x, activation="hard_sigmoid")]
    ),
    "layer_and_group_norm": lambda x: L.GroupNormalization(4)(conv(L.LayerNormalization()(conv(x)))),
    "padded_with_ones": lambda x: conv(tf.pad(conv(x), [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=9.0)),
    "along_time": lambda x: L.ReLU()(L.BatchNormalization()(L.Conv1D(4, 3)(L.Reshape((256, 8))(conv(x))))),
    "operators": lambda x: tf.concat([tf.nn.relu6(conv(x) * 0.5 + 1.0), 1.0 - conv(x, activation="sigmoid")], -1),
    "sum_of_three": lambda x: L.ReLU()(L.Add()([conv_bn(x), conv(x), L.ReLU()(conv_bn(x))])),
    "relu6_of_its_own": lambda x: L.DepthwiseConv2D(3, activation="relu6")(conv(x, activation=tf.nn.relu6)),
    "relu_layers_inside": lambda x: conv(conv(x, activation=L.LeakyReLU(0.1)), L.SeparableConv2D, activation=L.ReLU()),
    "pooled_padded_resized": lambda x: L.UpSampling2D(2)(L.ZeroPadding2D(1)(L.AveragePooling2D()(L.ReLU()(conv(x))))),
}


def alive(model, task):
    """Biases that differ, and BatchNorms that have seen images: an untrained network is mostly 0."""
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            layer.gamma.assign(generator.uniform(0.5, 1.5, layer.gamma.shape))
        if getattr(layer, "bias", None) is not None:
            layer.bias.assign_add(generator.normal(0, 0.2, layer.bias.shape))
    inputs = task.preprocessing(task.examples("train").read(np.arange(32))[0])
    for _ in range(20):
        model(inputs, training=True)
    return model


@pytest.fixture(scope="module")
def converted(tiny_task, context):
    """converted(model, steps, preprocessing) -> (before, quantised, artifact, place) through a recipe's own check."""

    def run(model, steps=(FAST,), preprocessing="caffe"):
        task = dataclasses.replace(tiny_task, preprocessing_name=preprocessing)
        place = dataclasses.replace(context(), task=task, baseline=model)
        made = list(apply_steps(steps, alive(model, task), place))[-1][2]
        artifact = LiteRTInt8()(made, place.workdir, place)
        for step in steps:
            step.check_artifact(artifact)
        return made, artifact, place

    return run


def holds(made, artifact, place):
    """Equal counts of kernels, nothing missing, and the file within 25 dB of the fake-quantised model."""
    assert quantize_scheme.float_kernels(made) == []
    stored = [name for name, value in artifact.weights().items()
              if value.ndim >= 2 and name.split("/")[0] != "preprocessing"]  # fmt: skip
    wrapped = [layer for layer in made.layers if getattr(layer, "_weight_vars", ())]
    trained = [layer for layer in wrapped if layer.layer.trainable]
    assert 0 < len(trained) <= len(stored) <= len(wrapped), "scalings that do not train may be equal, and one constant"
    assert all(artifact.weights()[name].dtype == np.int8 for name in stored)
    assert not tflite_file.float_operators(artifact.path)
    raw = place.task.examples("test").read(np.arange(32))[0]
    exact = made(place.task.preprocessing(raw), training=False).numpy()
    assert decibels(exact, artifact.predict(raw)) >= LEAST_DB


@pytest.mark.parametrize("name", BODIES)
def test_every_kind_of_layer_is_quantised_as_its_file_stores_it(name, converted):
    keras.utils.set_random_seed(1)
    model = classifier(BODIES[name])
    made, artifact, place = converted(model)
    holds(made, artifact, place)
    raw = place.task.examples("test").read(np.arange(32))[0]
    inputs = place.task.preprocessing(raw)
    assert decibels(model(inputs).numpy(), made(inputs).numpy()) > 15, "it computes what the float model computes"


NETWORKS = {
    "resnet": ResNet(blocks=(1, 1), width=0.25),
    "resnet_v1_flatten": ResNet(blocks=(1,), width=0.25, topology="v1", head=Head(pooling="flatten", units=16)),
    "small_cnn": SmallCNN(filters=(4, 8), head=Head(units=8)),
    "small_cnn_without_norm": SmallCNN(filters=(4, 8), batch_normalization=False),
}


@pytest.mark.parametrize("steps", [(FAST,), (FoldBatchNorm(), FAST)], ids=["as_built", "folded"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_quantised_as_its_file_stores_it(name, steps, converted):
    keras.utils.set_random_seed(1)
    model = build(NETWORKS[name], 32, 9)
    holds(*converted(model, tuple(step for step in steps if not step.idle(model))))


KINDS = ("conv", "conv_bn", "relu", "relu6", "activation", "leaky", "add", "concat", "pool")


@st.composite
def graphs(draw):
    """Networks of a few layers that read one another at random."""
    image = keras.Input((16, 16, 3))
    maps = [L.Conv2D(4, 3, padding="same")(image)]
    for _ in range(draw(st.integers(2, 7))):
        x = maps[draw(st.integers(max(0, len(maps) - 3), len(maps) - 1))]
        kind = draw(st.sampled_from(KINDS))
        other = maps[draw(st.integers(0, len(maps) - 1))]
        maps.append({
            "conv": lambda x=x: L.Conv2D(4, 3, padding="same")(x),
            "conv_bn": lambda x=x: L.BatchNormalization()(L.Conv2D(4, 1, use_bias=False)(x)),
            "relu": lambda x=x: L.ReLU()(x),
            "relu6": lambda x=x: L.ReLU(6.0)(x),
            "activation": lambda x=x: L.Activation("relu")(x),
            "leaky": lambda x=x: L.LeakyReLU(0.1)(x),
            "add": lambda x=x, y=other: L.Add()([L.Conv2D(4, 1)(x), L.Conv2D(4, 1)(y)]),
            "concat": lambda x=x, y=other: L.Concatenate()([y, x]) if y is not x else L.ReLU()(x),
            "pool": lambda x=x: L.MaxPooling2D(3, 1, "same")(x),
        }[kind]())  # fmt: skip
    return keras.Model(image, L.Dense(9, name="logits")(L.GlobalAveragePooling2D()(maps[-1])))


@given(graphs())
@settings(deadline=None, max_examples=10, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
def test_any_graph_is_quantised_as_its_file_stores_it(converted, tiny_task, model):
    small = keras.models.clone_model(model)
    image = keras.Input((32, 32, 3))
    whole = keras.Model(image, small(L.MaxPooling2D(2, name="half")(image)))
    holds(*converted(graph.flat(whole)))


def test_an_input_that_never_reaches_255_has_the_files_own_range(converted, tiny_task):
    """Without preprocessing the file's uint8 input and the model's first range are one tensor."""
    keras.utils.set_random_seed(1)
    made, artifact, place = converted(classifier(BODIES["conv_relu"]), preprocessing="none")
    seen = place.calibration(32).max()
    ends = {v.name: float(v) for v in made.variables if v.name.startswith("quantize_layer") and "_m" in v.name}
    assert sorted(ends.values()) == [0.0, 255.0] and seen <= 255
    holds(made, artifact, place)


def test_zeros_before_a_relu_stay_while_quantisation_trains(converted, tiny_task):
    keras.utils.set_random_seed(1)
    sparse = Prune(sparsity=0.7, epochs=0)

    def up(x):
        return conv(conv(x), L.Conv2DTranspose)

    model = classifier(lambda x: L.Concatenate()([L.ReLU()(up(L.ReLU()(conv(x)))), up(conv(x))]))
    step = QuantizeAware(epochs=1, batch_size=64, learning_rate=0.02, preserve="sparsity", calibration_images=32)
    made, artifact, place = converted(model, (sparse, step))
    assert min(layers.sparsity(made).values()) > 0.69
    holds(made, artifact, place)


def test_zeros_of_separable_convolutions_stay(converted):
    keras.utils.set_random_seed(1)
    model = plain_layers.split(classifier(BODIES["separable_bn_relu"]))
    made, artifact, place = converted(
        model, (Prune(sparsity=0.7, epochs=0), dataclasses.replace(FAST, preserve="sparsity"))
    )
    assert len(layers.sparsity(made)) == 2 and min(layers.sparsity(made).values()) > 0.69
    holds(made, artifact, place)


@functools.cache
def plain():
    return classifier(BODIES["conv_relu"])


def test_a_kernel_without_a_quantiser_is_named(context):
    made = FAST(plain(), context())
    first = next(layer for layer in made.layers if layer.name.startswith("quant_conv2d"))
    first._weight_vars = []
    with pytest.raises(BrokenPromise, match=f"1 kernels would stay in float: {first.name.removeprefix('quant_')}"):
        FAST.check(made)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (r"ReLU \S+ \(with a step", lambda x: L.ReLU(threshold=0.5)(conv_bn(x))),
        ("BatchNormalization", lambda x: L.BatchNormalization(axis=1)(conv(x))),
        (r"Conv2D own \(activation softsign\)", lambda x: L.Conv2D(4, 3, activation="softsign", name="own")(x)),
        (
            r"SeparableConv1D own \(activation softsign\)",
            lambda x: L.SeparableConv1D(4, 3, activation="softsign", name="own")(L.Reshape((32, 96))(x)),
        ),
        ("Activation", lambda x: L.Activation("softsign")(conv(x))),
        ("LayerNormalization", lambda x: L.LayerNormalization(axis=1)(conv(x))),
        (r"LSTM \S+\.", lambda x: L.LSTM(4)(L.Reshape((16, 128))(conv(x)))),
    ],
)
def test_what_cannot_be_quantised_is_named_before_an_earlier_step_trains(name, body, context, tiny_task):
    image = keras.Input((32, 32, 3))
    x = body(image)
    model = keras.Model(image, L.Dense(9)(L.Flatten()(x)))
    recipe = (Train(epochs=1), FAST)
    place = dataclasses.replace(context(), baseline=model)
    with pytest.raises(BadInput, match=f"no fake-quantised form of {name}.*leave QuantizeAware out") as refused:
        list(apply_steps(recipe, model, place))
    assert "\n" not in str(refused.value)
    assert not (place.workdir / "1_train").exists()


def died(layer, share: float):
    """Three output channels whose weights are `share` of what they were, and whose biases are not."""
    kernel = layer.kernel.numpy()
    kernel[..., :3] *= share
    layer.kernel.assign(kernel)
    layer.bias.assign([100.0, -100.0, 300.0, *layer.bias.numpy()[3:]])


def switched_off(norm, share: float):
    """Three channels that BatchNorm multiplies by `share`."""
    norm.gamma.assign([share] * 3 + list(norm.gamma.numpy()[3:]))
    norm.beta.assign([1.0, -1.0, 3.0, *norm.beta.numpy()[3:]])


@pytest.mark.parametrize("share", [0.0, 1e-12, 1e-6, 1e-4])
@pytest.mark.parametrize(("kind", "body", "harm"), [
    (L.Conv2D, BODIES["conv_relu"], died), (L.BatchNormalization, BODIES["sum_relu"], switched_off),
    (L.BatchNormalization, lambda x: L.ReLU()(L.BatchNormalization()(L.DepthwiseConv2D(3)(conv(x)))), switched_off),
])  # fmt: skip
def test_channels_that_died_keep_their_biases_in_the_file(kind, body, harm, share, tiny_task, context):
    """An int8 file counts a bias in steps of its channel's weights: with none of those it would be clipped."""
    keras.utils.set_random_seed(1)
    model = alive(classifier(body), tiny_task)
    harm(next(layer for layer in model.layers if type(layer) is kind), share)
    place = dataclasses.replace(context(), baseline=model)
    made = FAST(model, place)
    holds(made, LiteRTInt8()(made, place.workdir, place), place)


def test_equal_biases_reach_the_file_each_in_its_channels_steps(converted, tiny_task, context):
    keras.utils.set_random_seed(1)
    model = alive(classifier(BODIES["conv_relu"]), tiny_task)
    first = model.layers[1]
    first.kernel.assign(first.kernel * np.float32(10.0 ** (-np.arange(8) / 4)))
    first.bias.assign(np.full(8, 50.0))
    place = dataclasses.replace(context(), baseline=model)
    made = FAST(model, place)
    holds(made, LiteRTInt8()(made, place.workdir, place), place)
