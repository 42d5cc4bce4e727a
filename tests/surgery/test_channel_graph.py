"""The channel graph: groups by hand, and removed channels that were zero leave every output as it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.networks import graph, networks, plain_layers
from tfmo_drive.networks.backbones import MobileNetV2, ResNet, SmallCNN
from tfmo_drive.networks.networks import Head
from tfmo_drive.surgery.channel_graph import ChannelGraph

layers = keras.layers


def stirred(model: keras.Model, generator) -> keras.Model:
    """Weights that are nowhere zero or one, so that a forgotten layer shows."""
    for layer in model.layers:
        layer.set_weights([generator.uniform(0.2, 1.0, w.shape) * generator.choice([-1, 1], w.shape) * (w.size ** -0.2)
                           if "variance" not in v.name else generator.uniform(0.5, 2, w.shape)
                           for w, v in zip(layer.get_weights(), layer.weights, strict=True)])  # fmt: skip
    return model


def sampled(channels: ChannelGraph, share: float, generator) -> np.ndarray:
    """About `share` of every group, never all of it."""
    picked = [generator.permutation(group.channels)[: int(share * len(group.channels))] for group in channels.groups]
    return np.concatenate(picked or [np.zeros(0, np.int64)])


def without_reading(channels: ChannelGraph, removed: np.ndarray) -> keras.Model:
    """A copy whose kernels have zeros wherever they read a removed channel."""
    made = graph.copied(channels.model)
    for name, kernel in channels.unread(removed).items():
        made.get_layer(name).kernel.assign(kernel)
    return made


def assert_removal_is_exact(model: keras.Model, share: float, generator) -> keras.Model:
    channels = ChannelGraph(stirred(model, generator))
    removed = sampled(channels, share, generator)
    smaller = channels.without(removed)
    batch = generator.uniform(-1, 1, (2, *model.input_shape[1:])).astype(np.float32)
    ours, theirs = smaller(batch), without_reading(channels, removed)(batch)
    for our, their in zip(_each(ours), _each(theirs), strict=True):
        np.testing.assert_allclose(our, their, atol=2e-4 * max(1e-6, np.abs(their).max()))
    assert not {id(v) for v in smaller.weights} & {id(v) for v in model.weights}
    return smaller


def _each(outputs) -> list[np.ndarray]:
    return [one.numpy() for one in (outputs if isinstance(outputs, list) else [outputs])]


@pytest.mark.parametrize("network", [
    ResNet(), ResNet(topology="v1", blocks=(1, 2), width=0.25), MobileNetV2(width=0.35), SmallCNN(),
    ResNet(blocks=(1, 1), width=0.25, head=Head(pooling="flatten", units=32)),
], ids=repr)  # fmt: skip
def test_silent_channels_can_go_from_our_networks(network):
    generator = np.random.default_rng(0)
    model = networks.build(network, 32, 9)
    smaller = assert_removal_is_exact(model, 0.5, generator)
    assert smaller.count_params() < 0.4 * model.count_params()
    assert [layer.name for layer in smaller.layers] == [layer.name for layer in model.layers]
    assert smaller.output_shape == model.output_shape


def test_groups_of_a_resnet_go_through_its_adds():
    groups = ChannelGraph(networks.build(ResNet(blocks=(2,), width=0.25), 32, 9)).groups
    found = {group.makers: len(group.channels) for group in groups}
    stage = ("conv2_block1_0_conv", "conv2_block1_3_conv", "conv2_block2_3_conv")
    inner = [(f"conv2_block{b}_{i}_conv",) for b in (1, 2) for i in (1, 2)]
    assert found == {("conv1_conv",): 16, stage: 64} | dict.fromkeys(inner, 16)
    assert any(str(group) == f"64 channels of {', '.join(stage)}" for group in groups)


def test_a_sum_of_concatenations_is_followed_channel_by_channel():
    inputs = keras.Input((8, 8, 3))
    a, b, c = (layers.Conv2D(n, 1, name=name)(inputs) for n, name in ((2, "a"), (3, "b"), (5, "c")))
    both = layers.Add()([layers.Concatenate()([a, b]), c])
    model = keras.Model(inputs, layers.Dense(4)(layers.Flatten()(both)))
    found = {group.makers: len(group.channels) for group in ChannelGraph(model).groups}
    assert found == {("a", "c"): 2, ("b", "c"): 3}
    assert_removal_is_exact(model, 0.5, np.random.default_rng(0))


def test_two_heads_a_shared_layer_and_a_transposed_convolution():
    inputs = keras.Input((8, 8, 3))
    shared = layers.Conv2D(6, 3, padding="same")
    stem = layers.Conv2D(6, 3, padding="same")(inputs)
    deep = layers.LeakyReLU()(shared(layers.ReLU()(shared(stem))))
    up = layers.Conv2DTranspose(5, 2, strides=2)(layers.DepthwiseConv2D(3, depth_multiplier=2)(deep))
    gate = layers.Dense(5, activation="relu")(layers.GlobalAveragePooling2D(keepdims=True)(up))
    boxes = layers.Conv2D(4, 1, name="boxes")(layers.Multiply()([up, layers.UpSampling2D(12)(gate)]))
    classes = layers.Dense(3, activation="softmax", name="classes")(layers.GlobalMaxPooling2D()(deep))
    smaller = assert_removal_is_exact(keras.Model(inputs, [boxes, classes]), 0.5, np.random.default_rng(0))
    assert smaller.output_names == ["boxes", "classes"]
    assert smaller.output_shape == [(None, 12, 12, 4), (None, 3)]


def test_what_is_not_understood_keeps_its_channels_and_says_why():
    inputs = keras.Input((8, 8, 4))
    a = layers.Conv2D(4, 3, name="a")(inputs)
    b = layers.Conv2D(6, 1, name="b")(layers.LayerNormalization(name="norm")(layers.Conv2D(4, 1, name="d")(a)))
    c = layers.Conv2D(6, 1, name="c")(layers.LocallyConnected2D(4, 3, name="own")(b))
    half = c[..., ::2]
    channels = ChannelGraph(keras.Model(inputs, layers.Dense(2)(half)))
    assert [group.makers for group in channels.groups] == [("a",)]
    assert channels.untouched == {
        "norm": "it looks at all channels together", "own": "LocallyConnected2D is not understood here",
        half.node.layer.name: "it takes channels at a distance from one another",
    }  # fmt: skip


def shuffled(x, groups: int):
    """The channel shuffle of ShuffleNet (Zhang et al. 2018), in layers."""
    height, width, count = x.shape[1:]
    x = layers.Permute((1, 2, 4, 3))(layers.Reshape((height, width, groups, count // groups))(x))
    return layers.Reshape((height, width, -1))(x)


def squeezed_and_excited(x):
    gate = layers.Dense(8, "sigmoid")(layers.Dense(4, "relu")(layers.GlobalAveragePooling2D()(x)))
    return layers.Multiply()([x, layers.Reshape((1, 1, 8))(gate)])


def shuffle_v2(x):
    """A block of ShuffleNetV2 (Ma et al. 2018): half of the channels passes by."""
    left, right = tf.split(x, 2, axis=-1)
    right = layers.Conv2D(8, 1)(layers.DepthwiseConv2D(3, padding="same")(layers.Conv2D(4, 1)(right)))
    return shuffled(layers.Concatenate()([left, right[..., :4]]), 2)


MECHANISMS = {
    "separable": lambda x: layers.Conv2D(8, 1)(layers.DepthwiseConv2D(3, depth_multiplier=2)(x)),
    "groups": lambda x: layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(12, 3, groups=4)(x))),
    "groups behind one another": lambda x: layers.Conv2D(16, 3, groups=2)(layers.Conv2D(8, 3, groups=4)(x)),
    "shuffle": lambda x: shuffled(x, 2),
    "half passes by, shuffle": lambda x: shuffle_v2(shuffle_v2(x)),
    "groups, shuffle, groups": lambda x: layers.Conv2D(8, 1, groups=2)(shuffled(layers.Conv2D(8, 1, groups=2)(x), 2)),
    "slices, swapped": lambda x: layers.Concatenate()([x[:, 1:, :-1, 4:], x[:, 1:, 1:, :4]]),
    "slices of places": lambda x: layers.Concatenate(axis=1)([x[:, ::2], x[:, 1::2]]),
    "squeeze and excite": squeezed_and_excited,
    "one gate for all": lambda x: layers.Multiply()([x, layers.Conv2D(1, 1, activation="sigmoid", name="gate")(x)]),
    "layer scale": lambda x: layers.Add()([x, layers.DepthwiseConv2D(1, use_bias=False)(layers.Conv2D(8, 1)(x))]),
    "dense block": lambda x: layers.Concatenate()(
        [x, y := layers.Conv2D(4, 1)(layers.BatchNormalization()(x)), layers.Conv2D(4, 1)(layers.Concatenate()([x, y]))]
    ),
    "constants by channel": lambda x: layers.PReLU()(
        layers.Normalization(mean=[*range(8)], variance=[*range(1, 9)])(layers.Rescaling([*range(8)], [*range(8)])(x))
    ),
    "hard swish": lambda x: x * tf.nn.relu6(x + 3.0) / 6.0,
    "space to depth and back": lambda x: tf.nn.depth_to_space(tf.nn.space_to_depth(x, 2) + 0.0, 2),
    "transposed twice": lambda x: tf.transpose(tf.transpose(x, [0, 3, 1, 2]), [0, 2, 3, 1]),
    "means by operators": lambda x: x - tf.reduce_mean(x, [1, 2], keepdims=True),
    "padded and cropped": lambda x: layers.Cropping2D(((1, 0), (0, 1)))(layers.ZeroPadding2D(1)(x)),
}  # fmt: skip


@pytest.mark.parametrize("kind", MECHANISMS)
def test_channels_go_through(kind):
    """The first convolution loses channels, and the outputs are those of a network that does not read them."""
    inputs = keras.Input((6, 6, 3))
    x = MECHANISMS[kind](layers.Conv2D(8, 1, name="first")(inputs))
    model = plain_layers.split(keras.Model(inputs, layers.Conv2D(4, 1, name="last")(x)))
    smaller = assert_removal_is_exact(model, 0.5, np.random.default_rng(0))
    assert smaller.get_layer("first").filters == 4
    assert smaller.get_layer("last").kernel.shape[2] < model.get_layer("last").kernel.shape[2]


@pytest.mark.parametrize("shape", [(1, 1, 8), (1, 1, -1), (-1, 1, 8)])
def test_a_reshape_that_says_the_count_of_channels_is_narrowed(shape):
    generator = np.random.default_rng(0)
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, name="a")(inputs)
    squeezed = layers.Reshape(shape)(layers.GlobalAveragePooling2D()(x))
    gate = layers.Conv2D(8, 1, activation="sigmoid", name="gate")(layers.Conv2D(4, 1, activation="relu")(squeezed))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.Multiply()([x, gate]))))
    smaller = assert_removal_is_exact(model, 0.5, generator)
    assert smaller.get_layer("a").filters == smaller.get_layer("gate").filters == 4


def test_a_nested_backbone_is_opened():
    backbone = ResNet(blocks=(1,), width=0.25).backbone(32)
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(backbone(inputs))))
    opened = graph.flat(model)
    batch = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(opened(batch), model(batch), atol=1e-5)
    assert len(ChannelGraph(opened).groups) == 4
    assert graph.flat(opened) is opened


@given(seed=st.integers(0, 10_000), depth=st.integers(2, 8), share=st.floats(0.1, 0.9))
@settings(max_examples=25, deadline=None)
def test_silent_channels_can_go_from_random_graphs(seed, depth, share):
    generator = np.random.default_rng(seed)
    pool = [inputs := keras.Input((6, 6, 4))]
    for _ in range(depth):
        one, other = (pool[i] for i in generator.integers(0, len(pool), 2))
        kind = generator.choice(["conv", "depthwise", "norm", "add", "multiply", "concat", "relu", "transposed"])
        if kind in ("add", "multiply") and one.shape[-1] != other.shape[-1]:
            other = layers.Conv2D(one.shape[-1], 1)(other)
        pool.append({
            "conv": lambda x=one: layers.Conv2D(int(generator.integers(2, 7)), 3, padding="same")(x),
            "transposed": lambda x=one: layers.Conv2DTranspose(int(generator.integers(2, 7)), 3, padding="same")(x),
            "depthwise": lambda x=one: layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(x),
            "norm": lambda x=one: layers.BatchNormalization()(x),
            "add": lambda x=one, y=other: layers.Add()([x, y]),
            "multiply": lambda x=one, y=other: layers.Multiply()([x, y]),
            "concat": lambda x=one, y=other: layers.Concatenate()([x, y]),
            "relu": lambda x=one: layers.ReLU()(x),
        }[kind]())  # fmt: skip
    heads = [layers.Dense(2)(layers.Flatten()(pool[-1])), layers.Conv2D(3, 1)(pool[len(pool) // 2])]
    assert_removal_is_exact(keras.Model(inputs, heads), share, generator)
