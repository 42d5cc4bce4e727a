"""Which layers: one block of every kind through the whole chain, as a table.

    python -m tests.bench.survey [KIND ...]    # of all kinds it writes experiments/LAYERS.md too

Each kind is a small network around one block. It goes to a float file, to an int8 file after training, and through one
short epoch of quantization-aware training to an int8 file; each file is compared with the model that it was made from,
on test images, in decibels (signal to noise of the outputs). Kinds that are refused say so in the line that a user
reads; a refusal counts as one only if it comes before anything is trained.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfmo_drive.base import atomic
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.classification import Classification, Scenes

L = keras.layers
PAGE = Path("experiments/LAYERS.md")
LEAST_DB = 25.0
"""A file says what the fake-quantised model says where it is this near to it."""


def conv(x: Any, filters: int = 8, **settings: Any) -> Any:
    return L.Conv2D(filters, 3, padding="same", **settings)(x)


def series(x: Any) -> Any:
    """[n, 32, 16] from a map."""
    return L.Reshape((32, 16))(L.Conv2D(8, 3, 4, "same", activation="relu")(x))


def row(x: Any) -> Any:
    """[n, 16] from a map."""
    return L.GlobalAveragePooling2D()(conv(x, 16, activation="relu"))


def gated(x: Any) -> Any:
    """A squeeze-and-excite block (Hu et al. 2018)."""
    gate = L.Dense(8, "sigmoid")(L.Dense(4, "relu")(L.GlobalAveragePooling2D()(x)))
    return L.Multiply()([x, L.Reshape((1, 1, 8))(gate)])


NAMED: dict[str, Callable] = {
    "BatchNorm after an activation": lambda x: conv(L.BatchNormalization()(conv(x, activation="relu"))),
    "BatchNorm after Concatenate": lambda x: conv(
        L.ReLU()(L.BatchNormalization()(L.Concatenate()([conv(x, activation="relu"), conv(x)])))
    ),
    "BatchNorm before a convolution that pads": lambda x: conv(
        L.BatchNormalization()(L.ReLU()(conv(L.ReLU()(conv(x)))))
    ),
    "BatchNorm before activation, sum (ResNetV2)": lambda x: L.Add()(
        [x := conv(x), conv(L.ReLU()(L.BatchNormalization()(x)))]
    ),
    "BatchNorm first": lambda x: conv(L.BatchNormalization()(x)),
    "Rescaling first": lambda x: conv(L.Rescaling(1 / 127.5, -1.0)(x)),
    "Normalization first": lambda x: conv(L.Normalization(mean=[10, 0, -10], variance=[3600.0] * 3)(x)),
    "Rescaling in the middle": lambda x: conv(L.Rescaling(0.5, 1.0)(conv(x, activation="relu"))),
    "Multiply": lambda x: L.Multiply()([conv(x), conv(x, activation="sigmoid")]),
    "Multiply (squeeze and excite)": lambda x: gated(conv(x, activation="relu")),
    "Subtract": lambda x: L.Subtract()([conv(x), conv(x)]),
    "Average": lambda x: L.Average()([conv(x), conv(x), conv(x)]),
    "Maximum": lambda x: L.Maximum()([conv(x), conv(x)]),
    "Minimum": lambda x: L.Minimum()([conv(x), conv(x)]),
    "Add of three": lambda x: L.Add()([conv(x), conv(x), conv(x)]),
    "ELU": lambda x: conv(L.ELU()(conv(x))),
    "elu of its own": lambda x: conv(conv(x, activation="elu")),
    "SELU": lambda x: conv(conv(x, activation="selu")),
    "PReLU": lambda x: conv(L.PReLU(shared_axes=[1, 2])(conv(x))),
    "PReLU of each place": lambda x: conv(L.PReLU()(conv(x))),
    "hard_sigmoid": lambda x: conv(conv(x, activation="hard_sigmoid")),
    "swish in a convolution": lambda x: conv(conv(x, activation="swish")),
    "mish": lambda x: conv(conv(x, activation="mish")),
    "softplus": lambda x: conv(tf.nn.softplus(conv(x))),
    "gelu": lambda x: conv(conv(x, activation="gelu")),
    "hard swish by operators": lambda x: conv((lambda y: y * tf.nn.relu6(y + 3.0) / 6.0)(conv(x))),
    "Dense, BatchNorm, ReLU": lambda x: L.ReLU()(L.BatchNormalization()(L.Dense(16)(row(x)))),
    "Dense, ReLU, BatchNorm": lambda x: L.Dense(8)(L.BatchNormalization()(L.ReLU()(L.Dense(16)(row(x))))),
    "Conv2DTranspose, BatchNorm, ReLU": lambda x: L.ReLU()(
        L.BatchNormalization()(L.Conv2DTranspose(8, 3, 2, "same", use_bias=False)(conv(x)))
    ),
    "Conv2DTranspose, valid": lambda x: L.ReLU()(L.Conv2DTranspose(8, 3, 2, "valid")(conv(x))),
    "ReLU with a slope": lambda x: conv(L.ReLU(negative_slope=0.1)(conv(x))),
    "ReLU up to 4": lambda x: conv(L.ReLU(4.0)(conv(x))),
    "LeakyReLU": lambda x: conv(L.LeakyReLU(0.2)(conv(x))),
    "GaussianNoise": lambda x: conv(L.GaussianNoise(0.1)(conv(x, activation="relu"))),
    "SpatialDropout before BatchNorm": lambda x: L.ReLU()(L.BatchNormalization()(L.SpatialDropout2D(0.1)(conv(x)))),
    "Resizing": lambda x: conv(L.Resizing(24, 24)(conv(x, activation="relu"))),
    "UpSampling, bilinear": lambda x: conv(L.UpSampling2D(2, interpolation="bilinear")(conv(x, activation="relu"))),
    "LayerNormalization": lambda x: conv(L.LayerNormalization()(conv(x))),
    "GroupNormalization": lambda x: conv(L.GroupNormalization(4)(conv(x))),
    "UnitNormalization": lambda x: conv(L.UnitNormalization()(conv(x))),
    "Conv1D": lambda x: L.Conv1D(8, 3, activation="relu")(series(x)),
    "Conv1D, BatchNorm, ReLU": lambda x: L.ReLU()(L.BatchNormalization()(L.Conv1D(8, 3, use_bias=False)(series(x)))),
    "Conv1D, causal, dilated": lambda x: L.Conv1D(8, 3, padding="causal", dilation_rate=2)(series(x)),
    "SeparableConv2D": lambda x: L.ReLU()(L.BatchNormalization()(L.SeparableConv2D(8, 3, use_bias=False)(conv(x)))),
    "SeparableConv2D with its own ReLU": lambda x: L.SeparableConv2D(
        8, 3, depth_multiplier=2, activation="relu"
    )(conv(x)),
    "Conv2D in groups": lambda x: L.ReLU()(L.BatchNormalization()(L.Conv2D(8, 3, groups=4)(conv(x)))),
    "Conv2D, dilated": lambda x: L.ReLU()(L.BatchNormalization()(L.Conv2D(8, 3, dilation_rate=2)(conv(x)))),
    "x + 3": lambda x: conv(conv(x) + 3.0),
    "1 - x": lambda x: conv(1.0 - conv(x, activation="sigmoid")),
    "x / 127.5 - 1 first": lambda x: conv(x / 127.5 - 1.0),
    "tf.nn.relu6": lambda x: conv(tf.nn.relu6(conv(x))),
    "tf.concat": lambda x: conv(tf.concat([conv(x), conv(x)], -1)),
    "tf.image.resize": lambda x: conv(tf.image.resize(conv(x, activation="relu"), (24, 24))),
    "resize of TensorFlow 1, corners aligned": lambda x: conv(
        tf.compat.v1.image.resize_bilinear(conv(x, activation="relu"), (24, 24), align_corners=True)
    ),
    "slicing": lambda x: conv(conv(x)[:, 4:-4, ::2]),
    "channels split and joined": lambda x: conv(tf.concat(tf.split(conv(x, activation="relu"), 2, -1)[::-1], -1)),
    "tf.reduce_mean": lambda x: tf.reduce_mean(conv(x), [1, 2]),
    "tf.reduce_max": lambda x: tf.reduce_max(conv(x), [1, 2]),
    "tf.pad": lambda x: conv(tf.pad(conv(x), [[0, 0], [1, 1], [1, 1], [0, 0]])),
    "x * y, x + y by operators": lambda x: (lambda a, b: conv(a * b + a))(conv(x), conv(x, activation="sigmoid")),
}  # fmt: skip
CLASSES: dict[str, Callable] = {
    "Activation": lambda x: L.Activation("tanh")(conv(x)),
    "ActivityRegularization": lambda x: conv(L.ActivityRegularization(l2=0.0)(conv(x))),
    "Add": lambda x: L.ReLU()(L.Add()([conv(x), conv(x)])),
    "AlphaDropout": lambda x: conv(L.AlphaDropout(0.1)(conv(x))),
    "AveragePooling1D": lambda x: L.AveragePooling1D()(series(x)),
    "AveragePooling2D": lambda x: conv(L.AveragePooling2D()(conv(x))),
    "BatchNormalization": lambda x: L.ReLU()(L.BatchNormalization()(conv(x))),
    "CenterCrop": lambda x: conv(L.CenterCrop(24, 24)(conv(x))),
    "Concatenate": lambda x: conv(L.Concatenate()([conv(x), conv(x)])),
    "Conv1DTranspose": lambda x: L.ReLU()(L.Conv1DTranspose(8, 3, 2, "same")(series(x))),
    "Conv2D": lambda x: conv(conv(x)),
    "Conv2DTranspose": lambda x: L.Conv2DTranspose(8, 3, 2, "same")(conv(x)),
    "Conv3D": lambda x: L.GlobalAveragePooling3D()(L.Conv3D(2, 3)(L.Reshape((8, 8, 16, 8))(conv(x)))),
    "Cropping1D": lambda x: L.Conv1D(8, 3)(L.Cropping1D(2)(series(x))),
    "Cropping2D": lambda x: conv(L.Cropping2D(4)(conv(x))),
    "Dense": lambda x: L.Dense(8)(L.Dense(8, "relu")(row(x))),
    "Dense of maps": lambda x: conv(L.Dense(8, "relu")(conv(x))),
    "DepthwiseConv1D": lambda x: L.ReLU()(L.DepthwiseConv1D(3)(series(x))),
    "DepthwiseConv2D": lambda x: L.ReLU()(L.BatchNormalization()(L.DepthwiseConv2D(3, use_bias=False)(conv(x)))),
    "Dropout": lambda x: conv(L.Dropout(0.1)(conv(x))),
    "EinsumDense": lambda x: L.EinsumDense("bc,cd->bd", 8)(row(x)),
    "Flatten": lambda x: L.Flatten()(L.MaxPooling2D(8)(conv(x))),
    "GaussianDropout": lambda x: conv(L.GaussianDropout(0.1)(conv(x))),
    "GlobalAveragePooling1D": lambda x: L.GlobalAveragePooling1D()(L.Conv1D(8, 3)(series(x))),
    "GlobalAveragePooling2D": lambda x: L.GlobalAveragePooling2D()(conv(x)),
    "GlobalMaxPooling1D": lambda x: L.GlobalMaxPooling1D()(L.Conv1D(8, 3)(series(x))),
    "GlobalMaxPooling2D": lambda x: L.GlobalMaxPooling2D()(conv(x)),
    "LocallyConnected2D": lambda x: L.LocallyConnected2D(4, 3, 2)(conv(x)),
    "MaxPooling1D": lambda x: L.Conv1D(8, 3)(L.MaxPooling1D()(series(x))),
    "MaxPooling2D": lambda x: conv(L.MaxPooling2D()(conv(x))),
    "Permute": lambda x: conv(L.Permute((2, 1, 3))(conv(x))),
    "RandomFlip": lambda x: conv(L.RandomFlip("horizontal")(x)),
    "RandomRotation": lambda x: conv(L.RandomRotation(0.05)(x)),
    "RandomZoom": lambda x: conv(L.RandomZoom(0.1)(x)),
    "RandomTranslation": lambda x: conv(L.RandomTranslation(0.1, 0.1)(x)),
    "RepeatVector": lambda x: L.Conv1D(8, 3)(L.RepeatVector(5)(row(x))),
    "Reshape": lambda x: conv(L.Reshape((16, 64, 8))(conv(x))),
    "SeparableConv1D": lambda x: L.ReLU()(L.BatchNormalization()(L.SeparableConv1D(8, 3)(series(x)))),
    "Softmax": lambda x: conv(L.Softmax()(conv(x))),
    "SpatialDropout1D": lambda x: L.Conv1D(8, 3)(L.SpatialDropout1D(0.1)(series(x))),
    "SpatialDropout2D": lambda x: conv(L.SpatialDropout2D(0.1)(conv(x))),
    "ThresholdedReLU": lambda x: conv(L.ThresholdedReLU(0.5)(conv(x))),
    "UpSampling1D": lambda x: L.Conv1D(8, 3)(L.UpSampling1D()(series(x))),
    "UpSampling2D": lambda x: conv(L.UpSampling2D()(conv(x))),
    "ZeroPadding1D": lambda x: L.Conv1D(8, 3)(L.ZeroPadding1D(2)(series(x))),
    "ZeroPadding2D": lambda x: conv(L.ZeroPadding2D(2)(conv(x))),
}  # fmt: skip
SEQUENCES: dict[str, Callable] = {
    "LSTM": lambda x: L.LSTM(4)(series(x)),
    "LSTM, unrolled": lambda x: L.LSTM(4, unroll=True)(L.Reshape((4, 128))(series(x))),
    "GRU": lambda x: L.GRU(4)(series(x)),
    "SimpleRNN": lambda x: L.SimpleRNN(4)(series(x)),
    "Bidirectional": lambda x: L.Bidirectional(L.LSTM(4))(series(x)),
    "ConvLSTM1D": lambda x: L.ConvLSTM1D(2, 3)(L.Reshape((4, 32, 4))(series(x))),
    "Attention": lambda x: L.Attention()([series(x), series(x)]),
    "AdditiveAttention": lambda x: L.AdditiveAttention()([series(x), series(x)]),
    "MultiHeadAttention": lambda x: (lambda s: L.MultiHeadAttention(2, 4)(s, s))(series(x)),
    "TimeDistributed": lambda x: L.TimeDistributed(L.Dense(4))(series(x)),
}  # fmt: skip
TABLES = {"kinds": NAMED, "classes": CLASSES, "recurrent and attention layers": SEQUENCES}


def classifier(body: Callable, classes: int = 9) -> keras.Model:
    """Returns a network of 32x32 images around one block."""
    image = keras.Input((32, 32, 3), name="image")
    x = body(image)
    if len(x.shape) > 2:
        x = (L.GlobalAveragePooling2D() if len(x.shape) == 4 else L.GlobalAveragePooling1D())(x)
    return keras.Model(image, L.Dense(classes, name="logits")(x))


def alive(model: keras.Model, inputs: np.ndarray) -> keras.Model:
    """Gives biases and slopes that differ, and BatchNorms that have seen images: an untrained network is mostly 0."""
    generator = np.random.default_rng(0)
    for weight in model.trainable_weights:
        name = weight.name.split("/")[-1].split(":")[0]
        if name in ("bias", "beta"):
            weight.assign_add(generator.normal(0, 0.2, weight.shape))
        elif name in ("gamma", "alpha"):
            weight.assign(generator.uniform(0.1, 1.5, weight.shape))
    for _ in range(20):
        model(inputs, training=True)
    return model


def decibels(exact: np.ndarray, found: np.ndarray) -> float:
    """Returns the ratio of signal and noise; 99 where there is none."""
    noise, signal = (np.square(one, dtype=np.float64).sum() for one in (exact - found, exact))
    return min(99.0, float(10 * np.log10(max(signal, 1e-30) / max(noise, 1e-30))))


@dataclasses.dataclass
class Found:
    """Holds what became of one kind: decibels of each file, or the line with which it was refused."""

    float_file: float | str
    post_training: float | str
    fake_quantised: float | str
    """How near the fake-quantised model is to the float one, before training."""
    quantise_aware: float | str

    @property
    def passed(self) -> bool:
        """Says whether it trains quantization-aware and its integer file says the same."""
        return isinstance(self.quantise_aware, float) and self.quantise_aware >= LEAST_DB


def _model(body: Callable, folder: str) -> tuple[Context, np.ndarray, np.ndarray]:
    """Returns the context of one kind's network, and raw and preprocessed test images."""
    keras.utils.set_random_seed(1)
    task = Classification(image_size=32, scenes=Scenes(train=64, val=36, test=36))
    raw = task.examples("test").read(np.arange(32))[0]
    seen = task.preprocessing(task.examples("train").read(np.arange(32))[0])
    return Context(task, alive(classifier(body), seen), (), Path(folder), 0), raw, task.preprocessing(raw)


def _file(target: Any, model: keras.Model, context: Context, raw: np.ndarray, wanted: np.ndarray) -> float | str:
    try:
        made = target(model, Path(tempfile.mkdtemp(dir=context.workdir)), context)
    except BadInput as refused:
        return str(refused)
    return decibels(wanted, made.predict(raw))


def after_training(body: Callable, folder: str) -> list[float | str]:
    """Returns how near the float file and the int8 file are to the model."""
    context, raw, inputs = _model(body, folder)
    exact = context.baseline(inputs, training=False).numpy()
    targets = (LiteRTFloat32(), LiteRTInt8(calibration_images=64))
    return [_file(target, context.baseline, context, raw, exact) for target in targets]


def quantise_aware(body: Callable, folder: str) -> list[float | str]:
    """Returns how near the fake-quantised model is to the float one, and its file to it after an epoch of training."""
    context, raw, inputs = _model(body, folder)
    step = QuantizeAware(epochs=1, learning_rate=1e-4, batch_size=32, calibration_images=64)
    try:
        step.refuse(context.baseline)
    except BadInput as refused:
        return ["", str(refused)]
    exact = context.baseline(inputs, training=False).numpy()
    before, after = (dataclasses.replace(context, workdir=Path(folder) / name) for name in ("before", "after"))
    untrained = dataclasses.replace(step, epochs=0)(context.baseline, before)
    made = step(context.baseline, after)
    found = _file(LiteRTInt8(), made, context, raw, made(inputs, training=False).numpy())
    return [decibels(exact, untrained(inputs, training=False).numpy()), found]


def apart(function: Callable, body: Callable) -> list[float | str]:
    """Returns what `function` says of a kind, from a process of its own, which a converter may take down."""
    read, write = os.pipe()
    child = os.fork()  # this process has run nothing of TensorFlow's yet
    if child == 0:
        try:
            with tempfile.TemporaryDirectory() as folder:
                told = function(body, folder)
        except Exception as error:  # a cell of the table
            told = ["-", f"{type(error).__name__}: {str(error).splitlines()[0]}"]
        os.write(write, json.dumps(told).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        told = pipe.read()
    status = os.waitpid(child, 0)[1]
    ended = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit code {status >> 8}"
    return json.loads(told) if told else ["-", f"the process ended with {ended}"]


def main(names: list[str]) -> Iterator[str]:
    """Yields the lines of the tables."""
    known = [name for kinds in TABLES.values() for name in kinds]
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"No kind {unknown[0]!r}. There is: {', '.join(known)}.")
    for title, kinds in TABLES.items():
        chosen = {name: body for name, body in kinds.items() if not names or name in names}
        passed, refused = 0, 0
        if chosen:
            yield f"\n## {title[0].upper()}{title[1:]}\n"
            yield "| kind | float file | int8 after training | fake-quantised | int8 file of QAT | s |"
            yield "|---|---|---|---|---|---|"
        for name, body in chosen.items():
            started = time.perf_counter()
            found = Found(*apart(after_training, body), *apart(quantise_aware, body))
            passed += found.passed
            refused += isinstance(found.quantise_aware, str) and not found.fake_quantised
            cells = [one.split(". ")[0] if isinstance(one, str) else f"{one:.1f}" for one in dataclasses.astuple(found)]
            yield f"| {name} | {' | '.join(cells)} | {time.perf_counter() - started:.1f} |"
        if chosen:
            yield f"\n{passed} of {len(chosen)} pass, {refused} are refused before training."


def page(lines: Iterable[str]) -> str:
    """Returns the page of the documentation that the tables are."""
    about = f"""# Layers

Which kinds of layers train quantization-aware and convert to integers, as `make survey` found it on {os.cpu_count()}
cores on {datetime.date.today()} (tf_keras {keras.__version__}, TensorFlow {tf.__version__}). Each kind is a small
network around one block, whose weights are random and whose BatchNorms have seen images. Numbers are decibels of the
outputs, signal to noise, on test images; 99 is no difference. The float file and the int8 file after training are
compared with the Keras model, the fake-quantised model with the float one before training, and the int8 file of QAT,
after a short epoch, with the model that it was made from. A kind passes where that file computes in integers
throughout and is as near as {LEAST_DB:g} or more. What cannot be made says why, as a user reads it before training.
"""
    return about + "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    told = []
    for line in main(sys.argv[1:]):
        print(line, flush=True)
        told.append(line)
    if not sys.argv[1:]:
        atomic.write_text(PAGE, page(told))
