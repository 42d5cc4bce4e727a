"""Builds the families of keras.applications with weights that show something, and puts each method to them.

A cell says what a method did to a network, and passes only if that is proved: a file is held against the Keras model
that it was made from, a narrowed, factorised or folded model against one of equal function.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl import logging

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput, BrokenPromise, Context, Step
from tfmo_drive.networks import graph, layers, macs, networks, plain_layers
from tfmo_drive.networks.backbones import FastSCNN, MobileNetV3, PilotNet, UNet
from tfmo_drive.steps.channel_pruning import ChannelPruning
from tfmo_drive.steps.cluster import Cluster
from tfmo_drive.steps.fold_batch_norm import FoldBatchNorm
from tfmo_drive.steps.low_rank import LowRank
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.surgery import batch_norm, factors
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.classification import Classification, Scenes

FAMILIES = {
    "VGG16": 64, "ResNet50V2": 64, "MobileNet": 64, "MobileNetV2": 64, "MobileNetV3Small": 64, "EfficientNetB0": 64,
    "EfficientNetV2B0": 64, "DenseNet121": 64, "InceptionV3": 96, "Xception": 96, "NASNetMobile": 64,
    "RegNetX002": 64, "RegNetY002": 64, "ConvNeXtTiny": 64,
}  # fmt: skip
"""The side of the images in pixels, by family: the smallest that it takes, of 64 and 96."""
OWN = {"PilotNet": PilotNet(), "PilotNetReLU": PilotNet(activation="relu"), "UNet": UNet(), "FastSCNN": FastSCNN(),
       "MobileNetV3": MobileNetV3()}  # fmt: skip
"""Networks of this package, at 64 pixels, which are judged where they are named."""
IMAGES = 32
FILE_DB, LEAST_DB, EXACT_DB, BEYOND_DB = 20.0, 25.0, 60.0, 6.0
NOTHING, NOISE = "nothing to do", "40 dB become"


@dataclasses.dataclass
class Cell:
    """Holds what a method did to a family."""

    said: str
    passed: bool
    seconds: float = 0.0

    @property
    def short(self) -> str:
        """Returns what stands in the table: what was done, or the kind of failure, whose reason stands below it."""
        return self.said if self.passed else self.said.split(":")[0]


def built(family: str, side: int) -> keras.Model:
    """Returns a family's untrained network of 10 classes for images of side x side pixels."""
    keras.utils.set_random_seed(0)
    if family in OWN:
        return networks.build(OWN[family], side, 10)
    build = getattr(keras.applications, family)
    return build(weights=None, input_shape=(side, side, 3), classes=10, classifier_activation=None)


def alive(model: keras.Model, context: Context) -> keras.Model:
    """Returns the model with random weights and BatchNorms that have seen images."""
    model = plain_layers.split(graph.flat(model))
    generator = np.random.default_rng(0)
    for layer in model.layers:
        for variable in layer.weights:
            name = variable.name.split("/")[-1].split(":")[0]
            if name == "gamma":
                variable.assign(generator.uniform(0.5, 1.5, variable.shape))
            elif name == "beta" and isinstance(layer, keras.layers.BatchNormalization):
                variable.assign(generator.normal(2, 0.2, variable.shape))
            elif name == "depthwise_kernel" and float(tf.reduce_max(tf.abs(variable))) < 1e-3:  # ConvNeXt's layer scale
                variable.assign(generator.uniform(0.1, 0.5, variable.shape))
    batch_norm.reestimate(model, _pixels(context, "train"))
    return model


def _pixels(context: Context, split: str) -> np.ndarray:
    return context.task.preprocessing(_raw(context, split))


def _raw(context: Context, split: str) -> np.ndarray:
    return context.task.examples(split).read(np.arange(IMAGES))[0]


def decibels(wanted: np.ndarray, got: np.ndarray) -> float:
    """Returns the ratio of what is wanted to what is wrong in it, at most 150."""
    noise, signal = (np.square(one, dtype=np.float64).sum() for one in (wanted - got, wanted))
    return float(10 * np.log10(max(signal, 1e-30) / max(noise, 1e-15 * signal, 1e-30)))


def carried(model: keras.Model, context: Context) -> float:
    """Returns the decibels at the output of noise of 40 dB at the input."""
    images = _pixels(context, "test")
    noise = np.random.default_rng(0).normal(0, 0.01 * np.sqrt(np.mean(images**2)), images.shape)
    return decibels(*(_outputs(model, one) for one in (images, images + noise.astype(np.float32))))


def _outputs(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Returns what a model says, without the graph of it that `predict` would trace first."""
    return model(images, training=False).numpy()


def _equal(wanted: keras.Model, got: keras.Model, context: Context, did: str) -> Cell:
    images = _pixels(context, "test")
    found = decibels(*(_outputs(one, images) for one in (wanted, got)))
    return Cell(f"{did}, {found:.0f} dB" if found >= EXACT_DB else f"failed: {did}, {found:.1f} dB", found >= EXACT_DB)


def _integer_file(model: keras.Model, context: Context, least: float, check: Step | None = None) -> Cell:
    artifact = LiteRTInt8(calibration_images=IMAGES)(
        model, context.workdir, dataclasses.replace(context, baseline=model)
    )
    if check:
        check.check_artifact(artifact)
    wanted = _outputs(model, _pixels(context, "test"))
    constant = decibels(wanted, np.broadcast_to(wanted.mean(0), wanted.shape))
    found = decibels(wanted, artifact.predict(_raw(context, "test")))
    floats = [name for name, one in artifact.weights().items() if one.ndim >= 2 and one.dtype != np.int8]
    if floats:
        return Cell(f"failed: {len(floats)} kernels are no integers, such as {floats[0]}", False)
    passed = found >= max(least, constant + BEYOND_DB)
    said = f"{found:.1f} dB"
    return Cell(said if passed else f"failed: {said}, an equal answer for all images has {constant:.1f} dB", passed)


def int8(model: keras.Model, context: Context) -> Cell:
    return _integer_file(model, context, FILE_DB)


def qat(model: keras.Model, context: Context) -> Cell:
    step = QuantizeAware(epochs=0, calibration_images=IMAGES)
    return _integer_file(step(model, context), context, LEAST_DB, step)


def fold(model: keras.Model, context: Context) -> Cell:
    step = FoldBatchNorm()
    made = step(model, context)
    if len(made.layers) == len(model.layers):
        return Cell(NOTHING, True)
    step.check(made)
    before, left = (
        sum(isinstance(layer, keras.layers.BatchNormalization) for layer in one.layers) for one in (model, made)
    )
    did = f"{before - left} of {before}" if before else f"{len(model.layers) - len(made.layers)} other layers"
    return _equal(model, made, context, did)


def sparse(model: keras.Model, context: Context) -> Cell:
    step = Prune(pattern="2:4", epochs=0)
    if step.idle(model):
        return Cell(NOTHING, True)
    made = step(model, context)
    step.check(made)
    step.check_artifact(LiteRTFloat32()(made, context.workdir, dataclasses.replace(context, baseline=made)))
    kernels = list(layers.kernels(made))
    return Cell(f"{sum(map(step.changeable, kernels))} of {len(kernels)}", True)


def channels(model: keras.Model, context: Context) -> Cell:
    step = ChannelPruning(pruning_ratio=0.3, epochs=0)
    if step.idle(model):
        return Cell(NOTHING, True)
    known, removed = step.chosen(model, context)
    narrow = known.without(removed)
    silent = graph.copied(known.model)
    for name, kernel in known.unread(removed).items():
        silent.get_layer(name).kernel.assign(kernel)
    every = sum(group.width for group in known.groups)
    gone = sum(group.each * np.isin(group.channels, removed).sum() for group in known.groups)
    share = known.macs(removed) / known.macs()
    made = _equal(silent, narrow, context, f"{gone:,} of {every:,}, MACs x{share:.2f}")
    return made if share < 1 else Cell(f"failed: {made.said}", False)


def low_rank(model: keras.Model, context: Context) -> Cell:
    step = LowRank(epochs=0, calibration_images=IMAGES)
    if step.idle(model):
        return Cell(NOTHING, True)
    found, ranks = step.chosen(model, context)
    taken = {layer.name for layer in model.layers}
    thin = factors.replaced(model, {name: found[name].chain(one, taken) for name, one in ranks.items()})
    product = graph.copied(model)
    for name, one in ranks.items():
        product.get_layer(name).kernel.assign(found[name].product(one))
    share = macs.of_model(thin) / macs.of_model(model)
    return _equal(product, thin, context, f"{len(ranks)} of {len(found)}, MACs x{share:.2f}")


def cluster(model: keras.Model, context: Context) -> Cell:
    step = Cluster(epochs=0)
    if step.idle(model):
        return Cell(NOTHING, True)
    made = step(model, context)
    step.check(made)
    return Cell(f"{len(list(layers.kernels(made)))} kernels", True)


METHODS: dict[str, Callable[[keras.Model, Context], Cell]] = {
    "fold": fold, "channels": channels, "low_rank": low_rank, "cluster": cluster, "prune_2_4": sparse, "int8": int8,
    "qat": qat,
}  # fmt: skip


def cell(name: str, model: keras.Model, context: Context) -> Cell:
    """Returns what a method does to the model, or what refused it."""
    began, folder = time.process_time(), context.workdir / name
    folder.mkdir()
    try:
        found = METHODS[name](model, dataclasses.replace(context, workdir=folder))
    except BadInput as refusal:
        found = Cell(f"refused: {refusal}", False)
    except BrokenPromise as broken:
        found = Cell(f"failed: {broken}", False)
    except Exception as error:  # a crash is what this bench is there to show
        found = Cell(f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}", False)
    return dataclasses.replace(found, seconds=round(time.process_time() - began, 1))


def family_cells(family: str, names: list[str]) -> None:
    """Prints one line of JSON a method, as soon as it is known."""
    logging.set_verbosity(logging.ERROR)
    with tempfile.TemporaryDirectory() as workdir:
        side = FAMILIES.get(family, 64)
        task = Classification(image_size=side, scenes=Scenes(train=64, val=36, test=36))
        context = Context(task, None, (), Path(workdir), seed=0)
        model = alive(built(family, side), context)
        context = dataclasses.replace(context, baseline=model)
        for name in names:
            found = Cell(f"{carried(model, context):.0f} dB", True) if name == NOISE else cell(name, model, context)
            print(json.dumps([name, dataclasses.asdict(found)]), flush=True)
