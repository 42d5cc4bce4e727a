"""Say what would go wrong in int8, before anything is trained or converted, from the float model and calibration set.

    tfmo-drive lint --experiment=post_training --data=path/to/images --weights=baseline.h5
    tfmo-drive lint --experiment=post_training --weights=runs/pruned/stages/1_prune/model.h5
    tfmo-drive lint --experiment=post_training --calibration=path/to/my/calibration/images

Prints a line for each finding, the dearest first, with the step that mends it, and writes <workdir>/lint.json: targets
that cannot take the model (the conversion to each, and to int8, is tried), then what int8 would cost. Of the experiment
only its baseline (trained, where none is given) and its targets are read.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from tfmo_drive.base import atomic, faults
from tfmo_drive.base.inputs import count
from tfmo_drive.commands import experiment_flags
from tfmo_drive.contracts import Arrays, BadInput, Context, Preprocessing, Preprocessings, Task

if TYPE_CHECKING:
    import tf_keras as keras

    from tfmo_drive.commands.lint.int8_forecast import Finding

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(experiment_flags)
flags.DEFINE_string("calibration", None, "A folder of images in place of the calibration images sampled from train.")

SCHEMA = 1
TRAIN = 256
"""The number of train examples that calibration images are compared with."""
IMAGES = 100
"""The number of calibration images where no target says how many: the targets' own default."""


def main(argv: list[str]) -> int:
    """Prints what would go wrong in int8, the most expensive first, and returns the exit code."""
    run = experiment_flags.run(argv)
    task = run.experiment.task
    counts = [getattr(target, "calibration_images", 0) for target in run.experiment.targets]
    given = images(Path(FLAGS.calibration), task) if FLAGS.calibration else None
    with run.opened() as context:
        raw = given if given is not None else context.calibration(min(filter(None, counts), default=IMAGES))
        costs = findings(context.baseline, task.preprocessing, raw, sampled(task, FLAGS.seed))
        found = (*unmade(context), *costs)
        said = {"schema": SCHEMA, "experiment": run.name, "seed": FLAGS.seed, "calibration_images": count(raw)}
        atomic.write_json(run.workdir / "lint.json", said | {"findings": [dataclasses.asdict(one) for one in found]})
    for one in found:
        print(f"{one.layer}: {one.kind}: {one.message} Mend: {one.mend}.")
    if not found:
        print(f"Nothing found: {context.baseline.name} on {count(raw)} calibration images, against train's.")
    return 0


def unmade(context: Context) -> tuple[Finding, ...]:
    """Returns a finding for each target of the experiment, and for LiteRTInt8, that cannot take the baseline."""
    from tfmo_drive.commands.lint.int8_forecast import Finding
    from tfmo_drive.flow.refused_rows import refused
    from tfmo_drive.targets.litert import LiteRTInt8

    more = () if LiteRTInt8.name in (target.name for target in context.targets) else (LiteRTInt8(),)
    tried = dataclasses.replace(context, targets=(*context.targets, *more))
    found = refused(context.baseline, {"baseline": ()}, tried)
    said = {target: reason.rstrip(".").rpartition(". ") for (_, target), reason in found.items()}
    return tuple(
        Finding("no file", target, f"{what.removeprefix(target).lstrip(': ')}.", None, mend)
        for target, (what, _, mend) in said.items()
    )


def findings(
    model: keras.Model, preprocessing: Preprocessing | Preprocessings, raw: Arrays, train: Arrays
) -> tuple[Finding, ...]:
    """Returns what int8 costs a float model calibrated with `raw`, the most expensive first.

    Args:
        model: The float model.
        preprocessing: The task's preprocessing.
        raw: The calibration set, raw inputs [n, ...] as a board gets them, by name where there are several.
        train: Some raw inputs of the train split.

    Raises:
        BadInput: The model is quantize-aware, or a file of integers, and has its own ranges.
    """
    from tfmo_drive.commands.lint import calibration_set, file_forecast, int8_forecast
    from tfmo_drive.commands.lint.stored_tensors import StoredTensors
    from tfmo_drive.networks import fake_quant, graph
    from tfmo_drive.runtimes import tflite_model

    if fake_quant.is_quantize_aware(model):
        raise BadInput(f"{model.name} is quantize-aware and has its ranges. Give the float model that it was made of.")
    if file := tflite_model.file_of(model):
        return file_forecast.faults(file, model, preprocessing, raw)
    stored = StoredTensors(graph.flat(model))
    ours, theirs = (_sample(stored, one, preprocessing) for one in (raw, train))
    found = calibration_set.faults(ours, theirs, preprocessing) + int8_forecast.faults(stored, theirs.ranges)
    return tuple(sorted(found, key=lambda one: -1.0 if one.bits_lost is None else one.bits_lost, reverse=True))


def sampled(task: Task, seed: int) -> Arrays:
    """Returns raw inputs of TRAIN train examples, other ones than `Context.calibration` samples (but for chance)."""
    examples = task.examples("train")
    indices = np.random.default_rng([seed, 0x714]).permutation(len(examples))[:TRAIN]
    return examples.read(np.sort(indices))[0]


def images(folder: Path, task: Task) -> np.ndarray:
    """Returns all images in a folder and those inside it, as the task resizes them: uint8 [n, height, width, channels].

    Raises BadInput where there is none, one cannot be read, or the task takes no images.
    """
    from tfmo_drive.data.found_files import Found, walk
    from tfmo_drive.data.images import SUFFIXES, decode

    rule, *others = task.preprocessing.each
    if others or not rule.input_range:
        taken = ", ".join(one.input for one in (rule, *others)) if others else "rows"
        raise BadInput(f"--calibration is a folder of images, but {task.name} takes {taken}. Leave it out.")
    found = walk(folder, SUFFIXES) if folder.is_dir() else Found()
    found.say_left_out(folder)
    if found.odd:
        raise BadInput(f"--calibration: {faults.counted(found.odd, len(found.odd) + len(found.files), 'are no files')}")
    if not found.files:
        raise BadInput(f"--calibration: no images under {folder}. Give a folder of {', '.join(SUFFIXES)} files.")
    return np.stack([decode(file, task.shape, task.resize) for file in found.files])


def _sample(stored, raw: Arrays, preprocessing: Preprocessing | Preprocessings):
    from tfmo_drive.commands.lint.calibration_set import Sample

    inputs = preprocessing(raw)
    return Sample(raw, stored.ranges(inputs), stored.decided(inputs))
