"""Computes a teacher's logits once, for every step and every run that asks for the same augmented copies.

The student's epochs cycle through a fixed number of augmented copies of each image, so an epoch costs the student alone
("a consistent teacher", Beyer et al. 2022, needs the same copy on both sides: here it is).
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from absl import logging
from tqdm import tqdm

from tfmo_drive.base import progress
from tfmo_drive.base.cache import cache_root, keeping, made_once
from tfmo_drive.base.inputs import count
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.outputs import by_name, each, named, names
from tfmo_drive.base.run_folder import file_digest, key
from tfmo_drive.contracts import Arrays, BadInput, Context, Task
from tfmo_drive.data import augmentation, batches
from tfmo_drive.data.batches import Attached, augmented_batches
from tfmo_drive.networks import output_kind, own_model
from tfmo_drive.networks.layers import weights_digest
from tfmo_drive.training import given_model
from tfmo_drive.training.distillation import SoftLabels
from tfmo_drive.training.scoring import score

_ROWS = "logits.rows"
_LONG = 5
"""The seconds of a copy from which a line says how far they are, also where no bar is drawn."""


def attached(labels: SoftLabels, context: Context) -> Attached:
    """Returns the arrays beside the targets of a taught step; with alpha = 0 only the choice of augmented copies."""
    if not labels.alpha:
        return Attached(labels.augmented_copies)
    return cached_logits(model(labels, context), labels.augmented_copies, context)


def cached_logits(teacher: keras.Model, copies: int, context: Context) -> Attached:
    """Returns the teacher's logits for every train example, each augmented copy one entry of the cache.

    They are float32 [n, ...] as the model's outputs; those of maps are kept as float16.

    Args:
        teacher: The teacher.
        copies: The number of augmented copies of each example.
        context: Gives the task and the seed.
    """
    task = context.task
    if getattr(getattr(task, "augmentation", None), "mosaic", 0):
        raise BadInput(
            "A teacher's logits are kept by the image, and with a mosaic an image shows others of its batch too. Leave "
            "one out: --set=task.augmentation.mosaic=0."
        )
    rows = [(name, tuple(output.shape[1:])) for name, output in zip(names(teacher), teacher.outputs, strict=True)]
    row = np.dtype([(name, _stored(shape), shape) for name, shape in rows])
    facts = [weights_digest(teacher), teacher.to_json(), task.fingerprint(), task.identity(), _code_digest()]
    folder, files = cache_root() / "teacher", []
    with keeping("The teacher's logits", folder):
        for copy in range(copies):
            write, started = functools.partial(_write_logits, teacher, copy, context, row), time.perf_counter()
            made = made_once(folder / key(*facts, context.seed, copy), write, (_ROWS,))
            files.append(open(made / _ROWS, "rb", buffering=0))
            if (seconds := time.perf_counter() - started) > _LONG and copy + 1 < copies:
                left = progress.duration((copies - copy - 1) * seconds)
                progress.say(f"teacher, copy {copy + 1} of {copies}, {left} left")

    def read(copy: int, indices: np.ndarray) -> Arrays:
        size = row.itemsize
        data = b"".join(os.pread(files[copy].fileno(), size, int(index) * size) for index in indices)
        found = np.frombuffer(data, row)
        return by_name(row.names, [found[name].astype(np.float32) for name in row.names])

    logging.info("teacher: %d augmented copies of %d examples in %s", copies, len(task.examples("train")), folder)
    return Attached(copies, read)


def _stored(shape: tuple[int, ...]) -> type:
    return np.float16 if len(shape) > 1 else np.float32


def _code_digest() -> str:
    """Returns a digest of the code that makes augmented copies, so that logits are never read back for other pixels."""
    files = [Path(module.__file__) for module in (augmentation, batches, output_kind)]
    return key(*(file_digest(file) for file in files))


def model(labels: SoftLabels, context: Context) -> keras.Model:
    """Returns the teacher that `labels` name; raises BadInput where it does not fit the baseline."""
    if not labels.files:
        return context.baseline
    teachers = [_read(path, context) for path in labels.files]
    teacher = teachers[0]
    if set(names(teacher)) < set(names(context.baseline)) or len(teachers) > 1:
        if labels.features:
            raise BadInput("distill.features: learn from the maps of one teacher that gives all of the outputs.")
        teacher = _joined(teachers, context.baseline)
    val_score = score(teacher, context.task, "val")
    logging.info("teacher %s: val score %.4f on the baseline's inputs", labels.teacher, val_score)
    return teacher


def _read(path: Path, context: Context) -> keras.Model:
    if not own_model.is_whole_model(path, "distill.teacher"):
        raise BadInput(f"distill.teacher: {path} holds weights alone. Save the whole model: model.save('teacher.h5').")
    if own_model.made_here(path) and not all(rule.is_identity for rule in context.task.preprocessing.each):
        raise BadInput(
            f"distill.teacher: {path} preprocesses its inputs itself, and would get a student's, which are "
            "preprocessed already. Give the Keras model that it was made of: stages/*/model.h5 of its run."
        )
    signature, allowed = own_model.Signature.of(context.baseline, some=True), context.task.allow_code
    teacher = own_model.read_model(path, signature, "distill.teacher", allow_code=allowed)
    if not own_model.is_stage(path):
        if asked := dict.fromkeys(_undeclared(names(teacher), context.task)):
            raise BadInput(f"distill.teacher: {path} is a model of your own: say {'; and say '.join(asked)}.")
        return given_model.adopted(teacher, context.task, f"distill.teacher: {path}")
    known = context.task.metadata(context.baseline)
    parts = known.get("parts", {}).values()
    known = next((part for part in parts if set(part["outputs"]) == set(names(teacher))), known)
    own_model.refuse_other_stage(path, context.task.preprocessing.name, known, "distill.teacher")
    return teacher


def _undeclared(given: Sequence[str], task: Task) -> Iterator[str]:
    """Yields what only the user of a teacher of one's own can know, of the parts of a task whose outputs it gives."""
    parts = [part for part in getattr(task, "parts", ()) if {*part.output_names} <= {*given}]
    for part in parts or [task]:
        yield from getattr(part, "undeclared", tuple)()


def _joined(teachers: list[keras.Model], baseline: keras.Model) -> keras.Model:
    """Returns one model with the outputs of `baseline`, each from the teacher that gives it, or else its own."""
    called = zip(baseline.input_names, baseline.inputs, strict=True)
    inputs = by_name(baseline.input_names, [keras.Input(one.shape[1:], name=name) for name, one in called])
    said = {}
    for number, one in enumerate([*teachers, baseline]):
        inside = keras.Model(one.inputs, one.outputs, name=f"teacher_{number}")  # Keras wants a name for each
        outputs = dict(zip(names(one), tf.nest.flatten(inside(inputs)), strict=True))
        twice = set(outputs) & set(said) if one is not baseline else ()
        if twice:
            raise BadInput(f"distill.teacher: two of the teachers give {', '.join(sorted(twice))}. Leave one out.")
        said = outputs | said
    named_so = [keras.layers.Activation("linear", name=name)(said[name]) for name in names(baseline)]
    return keras.Model(inputs, named_so)


def _write_logits(teacher: keras.Model, copy: int, context: Context, row: np.dtype, folder: Path) -> None:
    logits = context.task.logits(teacher)

    @tf.function(reduce_retracing=True)
    def call(batch):
        said = logits(named(teacher, teacher(batch, training=False)))
        return [said[name] for name in row.names] if len(row.names) > 1 else [said]

    total = -(-len(context.task.examples("train")) // 64)
    with open(folder / _ROWS, "wb") as out:
        for batch in tqdm(
            augmented_batches(context, copy), f"teacher, copy {copy + 1}", total, disable=None, leave=False
        ):
            rows = np.empty(count(batch), row)
            for name, values in zip(row.names, call(each(tf.constant, batch)), strict=True):
                rows[name] = values.numpy()
            out.write(rows.tobytes())
