"""What works on whole architectures: `make architectures`, or `python -m tests.bench.architectures VGG16 fold int8`.

Every family of keras.applications, alive at random, goes through every method without training. A cell says the
decibels of the converted file against the Keras model that it was made from (for `fold`: against the model before), or
what refused. Each family runs in a process of its own, so that a crash costs its remaining cells and no other family's.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import logging

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput, BrokenPromise, Context
from tfmo_drive.networks import graph
from tfmo_drive.steps.channel_pruning import ChannelPruning
from tfmo_drive.steps.cluster import Cluster
from tfmo_drive.steps.fold_batch_norm import FoldBatchNorm
from tfmo_drive.steps.low_rank import LowRank
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.surgery import batch_norm
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.classification import Classification, Scenes

FAMILIES = {
    "VGG16": 64, "ResNet50V2": 64, "MobileNet": 64, "MobileNetV2": 64, "MobileNetV3Small": 64, "EfficientNetB0": 64,
    "EfficientNetV2B0": 64, "DenseNet121": 64, "InceptionV3": 96, "Xception": 96, "NASNetMobile": 64,
    "RegNetX002": 64, "RegNetY002": 64, "ConvNeXtTiny": 64,
}  # fmt: skip
"""The side of the images in pixels, by family: the smallest that it takes, of 64 and 96."""
STEPS = {
    "int8": None,
    "fold": FoldBatchNorm(),
    "prune_2_4": Prune(pattern="2:4", epochs=0),
    "channels": ChannelPruning(pruning_ratio=0.3, epochs=0, calibration_images=32),
    "low_rank": LowRank(epochs=0, calibration_images=32),
    "cluster": Cluster(epochs=0),
    "qat": QuantizeAware(epochs=0, calibration_images=32),
}
IMAGES = 32
SECONDS = 900


def alive(family: str, context: Context) -> keras.Model:
    """Returns a family's network of 10 classes with random weights and BatchNorms that have seen images."""
    keras.utils.set_random_seed(0)
    side = context.task.image_size
    build = getattr(keras.applications, family)
    model = graph.flat(build(weights=None, input_shape=(side, side, 3), classes=10, classifier_activation=None))
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            names = [variable.name for variable in layer.weights]
            layer.set_weights([
                generator.uniform(0.5, 1.5, value.shape) if "gamma" in name
                else generator.normal(0, 0.2, value.shape) if "beta" in name else value
                for name, value in zip(names, layer.get_weights(), strict=True)
            ])  # fmt: skip
    batch_norm.reestimate(model, _pixels(context))
    return model


def _pixels(context: Context) -> np.ndarray:
    return context.task.preprocessing(context.calibration(IMAGES))


def _decibels(wanted: np.ndarray, got: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(wanted**2) / max(float(np.sum((wanted - got) ** 2)), 1e-30)))


def cell(step_name: str, model: keras.Model, context: Context) -> str:
    """Returns the decibels of what a step makes of the model, or what refused."""
    step = STEPS[step_name]
    folder = context.workdir / step_name
    folder.mkdir()
    try:
        made = model
        if step is not None:
            step.refuse(model)
            why = step.idle(model)
            if why:
                return f"refused: {why}"
            made = step(model, dataclasses.replace(context, workdir=folder))
            step.check(made)
        target = LiteRTInt8() if step_name in ("int8", "qat") else LiteRTFloat32()
        artifact = target(made, folder, dataclasses.replace(context, baseline=made))
    except (BadInput, BrokenPromise) as refusal:
        return f"refused: {refusal}"
    except Exception as error:  # a crash is what this bench is there to show
        return f"CRASH: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    images = context.calibration(IMAGES)
    judge = model if step_name == "fold" else made
    wanted = judge.predict(context.task.preprocessing(images), verbose=0)
    return f"{_decibels(wanted, artifact.predict(images)):.1f} dB"


def family_cells(family: str, step_names: list[str]) -> None:
    """Prints one line of JSON a step, as soon as it is known."""
    logging.set_verbosity(logging.ERROR)
    with tempfile.TemporaryDirectory() as workdir:
        task = Classification(image_size=FAMILIES[family], scenes=Scenes(train=64, val=36, test=36))
        context = Context(task, None, (), Path(workdir), seed=0)
        model = alive(family, context)
        context = dataclasses.replace(context, baseline=model)
        for name in step_names:
            began = time.perf_counter()
            said = cell(name, model, context)
            print(json.dumps([name, said, round(time.perf_counter() - began, 1)]), flush=True)


def row(family: str, step_names: list[str]) -> dict[str, tuple[str, float]]:
    """Returns by step what works in a family, from a process of its own; a step that took it down says so."""
    found: dict[str, tuple[str, float]] = {}
    command = [sys.executable, "-m", "tests.bench.architectures", "--child", family]
    while len(found) < len(step_names):
        left = [name for name in step_names if name not in found]
        try:
            done = subprocess.run([*command, *left], capture_output=True, text=True, timeout=SECONDS)
            lines, ended = done.stdout, f"CRASH: the process ended with {done.returncode}"
            tail = done.stderr.strip().splitlines()[-1:] if done.returncode > 0 else []
            ended = " ".join([ended, *tail])[:300]
        except subprocess.TimeoutExpired as late:
            lines, ended = (late.stdout or b"").decode(), f"CRASH: not done within {SECONDS} s"
        for line in lines.splitlines():
            if line.startswith("["):
                name, said, seconds = json.loads(line)
                found[name] = (said, seconds)
        unsaid = [name for name in left if name not in found]
        if unsaid:
            found[unsaid[0]] = (ended, 0.0)
    return found


def _of_each(cells: dict[str, tuple[str, float]], names: list[str]) -> str:
    shown = (cells[name][0] if cells[name][0].endswith(" dB") else cells[name][0].split(":")[0] for name in names)
    return " | ".join(f"{one:>9}" for one in shown)


def main(names: list[str]) -> int:
    """Prints a row for each family named, of the steps named; all of them where none is."""
    unknown = [name for name in names if name not in (*FAMILIES, *STEPS)]
    if unknown:
        print(f"No family or step {unknown[0]!r}. There is: {', '.join((*FAMILIES, *STEPS))}.", file=sys.stderr)
        return 1
    families, steps = ([one for one in table if one in names] or list(table) for table in (FAMILIES, STEPS))
    print(f"{'':18}| " + " | ".join(f"{name:>9}" for name in steps))
    through, reasons = 0, []
    for family in families:
        cells = row(family, steps)
        through += all(cells[name][0].endswith(" dB") for name in steps)
        seconds = sum(cells[name][1] for name in steps)
        print(f"{family:18}| {_of_each(cells, steps)} | {seconds:.0f} s", flush=True)
        reasons += [f"{family} {name}: {said}" for name, (said, _) in cells.items() if not said.endswith(" dB")]
    print("\n".join([*reasons, f"{through} of {len(families)} families go through {', '.join(steps)}."]))
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        family_cells(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main(sys.argv[1:]))
