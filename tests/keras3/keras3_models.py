"""Models as users of Keras 3 build them; nothing here imports it: each is built from the `keras` that it is given."""

from __future__ import annotations

import numpy as np
from keras3_register import KEPT, REFUSED, chain, image, kept, pooled, refused

__all__ = ["KEPT", "REFUSED"]


@kept
def conv_batchnorm_relu(keras):
    layers = keras.layers
    convolution = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)
    return chain(keras, image(keras), convolution, layers.BatchNormalization(momentum=0.9), layers.ReLU())


@kept
def sequential(keras):
    layers = keras.layers
    return keras.Sequential([
        layers.Input((16, 16, 3)), layers.Rescaling(1 / 127.5, offset=-1), layers.Conv2D(4, 3, activation="relu"),
        layers.MaxPooling2D(), layers.Flatten(), layers.Dropout(0.3), layers.Dense(3, activation="softmax"),
    ])  # fmt: skip


@kept
def sequential_without_input(keras):
    layers = keras.layers
    model = keras.Sequential([layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(3)])
    model(np.zeros((1, 16, 16, 3), np.float32))
    return model


@kept
def nested_and_shared(keras):
    """Two layers of one name, a model and a layer that are called twice, and three addends."""
    layers = keras.layers
    inner = image(keras)
    backbone = keras.Model(inner, layers.Conv2D(4, 3, name="same")(inner) * 2.0, name="backbone")
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(4, name="same")], name="head")
    inputs, shared = image(keras), layers.Dense(5, name="shared")
    one, other = head(backbone(inputs)), head(backbone(layers.AveragePooling2D(1)(inputs), training=False))
    return keras.Model(inputs, layers.Add()([shared(one), shared(other), shared(one)]))


@kept
def activations(keras):
    names = (
        "relu6", "hard_sigmoid", "hard_silu", "silu", "leaky_relu", "gelu", "mish", "elu", "selu", "softplus",
        "softsign", "exponential", "celu", "hard_tanh", "log_sigmoid", "tanh", "sigmoid",
    )  # fmt: skip
    return chain(keras, image(keras), *(keras.layers.Conv2D(4, 1, activation=name) for name in names))


@kept
def activation_layers(keras):
    layers = keras.layers
    kinds = (
        layers.LeakyReLU(negative_slope=0.1), layers.PReLU(shared_axes=[1, 2], alpha_initializer="ones"),
        layers.ELU(0.5), layers.ReLU(6, negative_slope=0.1), layers.Softmax(), layers.Activation("hard_swish"),
        layers.Activation("log_softmax"), layers.Activation("relu6"),
    )  # fmt: skip
    return chain(keras, image(keras), *(one for kind in kinds for one in (layers.Conv2D(6, 1), kind)))


@kept
def layers_as_activations(keras):
    layers = keras.layers
    return chain(
        keras, image(keras), layers.Conv2D(6, 3, activation=layers.ReLU(6.0)),
        layers.Dense(4, activation=layers.LeakyReLU(negative_slope=0.3)),
    )  # fmt: skip


@kept
def outputs_with_activations(keras):
    layers, inputs = keras.layers, image(keras)
    x = layers.Flatten()(inputs)
    heads = [layers.Dense(2, activation=one, name=one) for one in ("hard_sigmoid", "relu6", "sigmoid")]
    return keras.Model(inputs, [head(x) for head in heads])


@kept
def convolutions(keras):
    layers = keras.layers
    grouped = layers.Conv2D(
        8, 3, groups=4, dilation_rate=2, kernel_regularizer="l2", kernel_constraint=keras.constraints.MaxNorm(2)
    )
    return chain(
        keras, image(keras), layers.SeparableConv2D(6, 3, dilation_rate=2, activation="relu"),
        layers.DepthwiseConv2D(3, depth_multiplier=2), grouped,
        layers.Conv2DTranspose(4, 3, strides=2, padding="same", output_padding=1), layers.SpatialDropout2D(0.1),
        layers.Cropping2D(1), layers.ZeroPadding2D(((1, 2), (0, 1))), layers.UpSampling2D(2, interpolation="bilinear"),
    )  # fmt: skip


@kept
def normalisations(keras):
    layers = keras.layers
    return chain(
        keras, image(keras), layers.Conv2D(8, 3), layers.GroupNormalization(groups=4),
        layers.LayerNormalization(epsilon=1e-3), layers.LayerNormalization(axis=[1, 2, 3]), layers.UnitNormalization(),
        layers.SpectralNormalization(layers.Conv2D(4, 3)), layers.Identity(),
        layers.EinsumDense("abcd,de->abce", (None, None, 6), bias_axes="e"),
    )  # fmt: skip


@kept
def normalization_adapted(keras):
    layer = keras.layers.Normalization()
    layer.adapt(np.random.default_rng(0).normal(5, 3, (50, 16, 16, 3)).astype(np.float32))
    return chain(keras, image(keras), layer, keras.layers.Conv2D(4, 3))


@kept
def normalization_given(keras):
    layer = keras.layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0])
    return chain(keras, image(keras), layer, keras.layers.Conv2D(4, 3))


@kept
def rescaling_of_channels(keras):
    rescaling = keras.layers.Rescaling([1 / 255, 1 / 128, 1 / 64], [0.1, 0.2, 0.3])
    return chain(keras, image(keras), rescaling, keras.layers.Conv2D(4, 3))


@kept
def merges(keras):
    layers, inputs = keras.layers, image(keras)
    two = [layers.Conv2D(4, 1)(inputs), layers.Conv2D(4, 1)(inputs)]
    kinds = (layers.Add, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum, layers.Subtract)
    return pooled(keras, inputs, layers.Concatenate()([kind()(two) for kind in kinds]))


@kept
def squeeze_excite(keras):
    layers, inputs = keras.layers, image(keras)
    x = layers.Conv2D(8, 3)(inputs)
    mean = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(x))
    gate = layers.Add()([mean, layers.GlobalMaxPooling2D(keepdims=True)(x)])
    return pooled(keras, inputs, layers.Multiply()([x, layers.Conv2D(8, 1, activation="sigmoid")(gate)]))


@kept
def recurrent(keras):
    layers, inputs = keras.layers, image(keras)
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(layers.Reshape((16, -1))(inputs))
    x = layers.GRU(5, return_sequences=True, reset_after=False)(layers.GRU(6, return_sequences=True)(x))
    x, hidden, cell = layers.LSTM(4, return_state=True, return_sequences=True)(x)
    x = layers.LSTM(4, return_sequences=True)(x, initial_state=[hidden, cell])
    x = layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)], return_sequences=True)(x)
    return keras.Model(inputs, layers.Dense(3)(layers.SimpleRNN(4)(x)))


@kept
def frames(keras):
    layers, inputs = keras.layers, image(keras, 4, 8, 8, 3)
    x = layers.TimeDistributed(layers.Conv2D(4, 3, activation="silu"))(inputs)
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.ConvLSTM2D(3, 3)(x))))


@kept
def attention(keras):
    layers, inputs = keras.layers, image(keras)
    x = layers.Dense(8)(layers.Reshape((16, -1))(inputs))
    y = layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
    found = [x, y, layers.Attention(use_scale=True)([x, y]), layers.AdditiveAttention()([x, y])]
    x = layers.LayerNormalization()(layers.Add()(found))
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))


@kept
def masked(keras):
    layers, inputs = keras.layers, keras.Input((7,), dtype="int32")
    x = layers.LSTM(3, return_sequences=True)(layers.Embedding(10, 4, mask_zero=True)(inputs))
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(layers.Masking(0.0)(x))))


@kept
def series(keras):
    layers, inputs = keras.layers, keras.Input((32, 4))
    x = inputs
    for layer in (
        layers.Conv1D(8, 3, padding="causal", activation="relu"), layers.MaxPooling1D(), layers.SeparableConv1D(4, 3),
        layers.UpSampling1D(2), layers.ZeroPadding1D(1), layers.Cropping1D(1), layers.DepthwiseConv1D(3),
        layers.Conv1DTranspose(3, 3), layers.AveragePooling1D(2), layers.SpatialDropout1D(0.1),
        layers.GlobalMaxPooling1D(),
    ):  # fmt: skip
        x = layer(x)
    return keras.Model(inputs, layers.Dense(2)(x))


@kept
def volumes(keras):
    layers, inputs = keras.layers, keras.Input((8, 8, 8, 2))
    x = layers.Conv3DTranspose(2, 2)(layers.MaxPooling3D(2)(layers.Conv3D(4, 3)(inputs)))
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling3D()(x)))


@kept
def rows(keras):
    layers, inputs = keras.layers, keras.Input((5,))
    x = layers.BatchNormalization()(layers.Dense(8)(inputs))
    for layer in (layers.GaussianNoise(0.1), layers.GaussianDropout(0.1), layers.AlphaDropout(0.1, seed=1)):
        x = layer(x)
    x = layers.Permute((2, 1))(layers.RepeatVector(3)(layers.ActivityRegularization(0.1)(x)))
    return keras.Model(inputs, layers.Dense(1)(x))


@kept
def augmentation(keras):
    layers = keras.layers
    return chain(
        keras, image(keras), layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.RandomContrast(0.2),
        layers.RandomTranslation(0.1, 0.1), layers.RandomZoom(0.1), layers.RandomBrightness(0.1),
        layers.CenterCrop(12, 12), layers.Resizing(20, 20), layers.Conv2D(3, 3),
    )  # fmt: skip


@kept
def dropout_that_a_call_switches_on(keras):
    layers, inputs = keras.layers, image(keras)
    return keras.Model(inputs, layers.Dense(2)(layers.Dropout(0.5)(layers.Flatten()(inputs), training=True)))


@kept
def mixed_float16(keras):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        layers, inputs = keras.layers, image(keras)
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3)(inputs * 2.0)))
        x = layers.Dense(3)(layers.GlobalAveragePooling2D()(x))
        return keras.Model(inputs, layers.Activation("softmax", dtype="float32")(x))
    finally:
        keras.config.set_dtype_policy("float32")


@kept
def other_widths(keras):
    layers, inputs = keras.layers, image(keras)
    x = layers.GlobalAveragePooling2D(dtype="mixed_bfloat16")(layers.Conv2D(8, 3, dtype="float16")(inputs))
    return keras.Model(inputs, layers.Dense(3, dtype="float64")(layers.Dense(4, dtype="bfloat16")(x)))


@kept
def operators(keras):
    layers, ops, inputs = keras.layers, keras.ops, image(keras)
    x = layers.Conv2D(4, 3, padding="same")((inputs - 127.5) / 127.5)
    x = x * ops.relu6(x + 3.0) / 6.0
    x = ops.concatenate([x, layers.Conv2D(4, 1)(x)], -1)
    x = -(1.0 - ops.add(x, ops.multiply(x, 2.0)))
    y = layers.Conv2D(8, 1)(x)
    x = ops.hard_silu(ops.maximum(x, y) + ops.square(y) - x**2)
    x = ops.mean(ops.reshape(x, (-1, 256, 8)), axis=1)
    return keras.Model(inputs, ops.softmax(layers.Dense(3)(x)))


@kept
def operators_on_places(keras):
    layers, ops, inputs = keras.layers, keras.ops, image(keras)
    x = ops.relu(layers.Conv2D(4, 3)(ops.pad(inputs, ((0, 0), (1, 1), (2, 2), (0, 0)))))
    x = ops.clip(ops.clip(x[:, 1:-1, 2:], 0, 6), -1, 5)
    x = ops.max(ops.transpose(x, (0, 2, 1, 3)), axis=[1, 2], keepdims=True)
    x = ops.image.resize(ops.expand_dims(ops.squeeze(x, 1), 1), (4, 4))
    x = ops.average_pool(ops.max_pool(ops.cast(ops.leaky_relu(ops.elu(x)), "float32"), 2), 2)
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))


@kept
def operators_that_no_layer_computes(keras):
    layers, ops, inputs = keras.layers, keras.ops, image(keras)
    one, two, three = ops.split(layers.Conv2D(12, 3)(inputs), (4, 8), axis=-1)
    x = one * ops.sigmoid(ops.mean(two, axis=(1, 2)))[:, None, None, :] + ops.abs(three[..., :4]) / (ops.exp(two) + 1.0)
    x = x / ops.sqrt(ops.sum(ops.square(x), axis=-1, keepdims=True) + 1e-3) + ops.maximum(x, 0.1 * x)
    x = x[:, ::2, ::2] + ops.arctan(x[:, 1::2, 1::2, :]) * ops.min(x, axis=[1, 2], keepdims=True)
    series = ops.reshape(x, (-1, 49, 4))
    series = series - ops.mean(series, axis=1, keepdims=True) + ops.std(series, axis=-1, keepdims=True)
    products = [ops.matmul(ops.transpose(series, (0, 2, 1)), series), ops.matmul(series[:, :4], series[:, 4:8])]
    one, other = ops.split(layers.Flatten()(ops.log(ops.abs(ops.stack(products, 1)) + 1.0)), 2, axis=-1)
    return keras.Model(inputs, layers.Dense(3)(2.0 / (1.0 + ops.power(one - other, 2.0) + ops.sin(one))))


@kept
def two_inputs_and_two_outputs(keras):
    layers, pixels, speed = keras.layers, keras.Input((16, 16, 3), name="image"), keras.Input((1,), name="speed")
    x = layers.Concatenate()([layers.Flatten()(pixels), speed])
    outputs = {"throttle": layers.Dense(1, name="throttle")(x), "angle": layers.Dense(1, name="angle")(x)}
    return keras.Model({"speed": speed, "image": pixels}, outputs)


@kept
def open_sizes(keras):
    inputs = keras.Input((None, None, 3))
    return keras.Model(inputs, keras.layers.Conv2D(3, 3, padding="same", name="a name, with marks")(inputs))


@kept
def compiled_with_an_own_loss(keras):
    class Own(keras.losses.Loss):
        def call(self, truth, answers):
            return truth - answers

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile("adam", loss=Own())
    return model


@kept
def nine_classes(keras):
    layers, inputs = keras.layers, image(keras, 32, 32, 3)
    x = layers.Conv2D(8, 3, activation="leaky_relu")(layers.Conv2D(8, 3, strides=2, activation="relu6")(inputs))
    return keras.Model(inputs, layers.Dense(9, name="logits")(layers.GlobalAveragePooling2D()(x)))


@kept
def mobilenet_v3(keras):
    return keras.applications.MobileNetV3Small(input_shape=(32, 32, 3), alpha=0.35, weights=None, classes=5)


@kept
def convnext(keras):
    from keras.src.applications.convnext import ConvNeXt  # the sizes that Keras publishes have 28 million weights

    return ConvNeXt([1] * 4, [4, 8, 8, 8], input_shape=(32, 32, 3), weights=None, classes=5, name="convnext")


@refused('"root" .RMSNormalization. cannot be rebuilt .*Keras 2 has no layer RMSNormalization')
def no_such_layer(keras):
    inputs = keras.Input((8,))
    return keras.Model(inputs, keras.layers.RMSNormalization(name="root")(inputs))


@refused('"cell" .LSTM. cannot be rebuilt .*no recurrent_activation hard_sigmoid')
def another_activation_inside(keras):
    inputs = keras.Input((4, 5))
    return keras.Model(inputs, keras.layers.LSTM(3, recurrent_activation="hard_sigmoid", name="cell")(inputs))


@refused('"attend" .MultiHeadAttention. cannot be rebuilt .*with use_gate=True')
def no_such_setting(keras):
    inputs = keras.Input((4, 5))
    return keras.Model(inputs, keras.layers.MultiHeadAttention(1, 3, use_gate=True, name="attend")(inputs, inputs))


@refused("keras.ops.cumsum with these arguments")
def no_such_operation(keras):
    inputs = keras.Input((8,))
    return keras.Model(inputs, keras.ops.cumsum(inputs, axis=-1))


@refused("keras.ops.pad with these arguments")
def no_such_arguments(keras):
    inputs = image(keras)
    return keras.Model(inputs, keras.ops.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect"))


@refused('the Lambda layer "planted"')
def lambda_layer(keras):
    inputs = keras.Input((8,))
    return keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2.0, name="planted")(inputs))


@refused('the class Own of the module keras3_models in the layer "mine"')
def custom_layer(keras):
    class Own(keras.layers.Layer):
        def call(self, x):
            return x * 2

    inputs = keras.Input((8,))
    return keras.Model(inputs, Own(name="mine")(inputs))


@refused('"mine" computes own, a function that is none of Keras 3')
def own_activation(keras):
    def own(x):
        return x * 2

    return keras.Sequential([keras.Input((8,)), keras.layers.Dense(2, activation=own, name="mine")])


@refused('"mine" is of the class Own, which is none of Keras 3')
def custom_layer_of_a_notebook(keras):
    class Own(keras.layers.Layer):
        __module__ = "__main__"

        def call(self, x):
            return x * 2

    inputs = keras.Input((8,))
    return keras.Model(inputs, Own(name="mine")(inputs))


@refused("the model is of the class Subclassed, which is none of Keras 3")
def subclassed(keras):
    class Subclassed(keras.Model):
        __module__ = "__main__"

        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    model = Subclassed()
    model(np.zeros((1, 4), np.float32))
    return model


@refused("does not know the shape of its input")
def never_called(keras):
    return keras.Sequential([keras.layers.Dense(2)])


@refused('"coarse" was quantised by Keras')
def quantised_by_keras(keras):
    inputs = keras.Input((8,))
    model = keras.Model(inputs, keras.layers.Dense(4, name="coarse")(inputs))
    model.quantize("int8")
    return model


@refused("weights that are not finite, the first in dense")
def not_finite(keras):
    inputs = keras.Input((8,))
    model = keras.Model(inputs, keras.layers.Dense(4, name="dense")(inputs))
    model.set_weights([np.full((8, 4), np.nan, np.float32), np.zeros(4, np.float32)])
    return model


COARSE = {"mixed_float16": 1e-2, "other_widths": 3e-2}
"""How far Keras 3's own answers may be from those in float32, for models that are built in other widths."""
IN_HDF5 = ("nested_and_shared", "sequential", "mixed_float16", "recurrent", "operators")
"""Models that are saved in the older format too."""
