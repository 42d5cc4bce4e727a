"""Reads a given model, converts its outputs to the task's units, and checks it on data before anything is written."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput, Task
from tfmo_drive.data import preprocessing_text
from tfmo_drive.networks import networks, own_model
from tfmo_drive.runtimes import tflite_model
from tfmo_drive.runtimes.given_tflite import GivenTFLite
from tfmo_drive.training import scoring

_SHARED = 0.7
"""The share of the wider of two ranges that both have where they are of the same numbers."""
_EXAMPLES, _FEWEST, _NUMBERS = 128, 8, 1 << 24
"""The most and the fewest val examples that are asked, and the largest count of numbers in their answers."""


def baseline(
    path: Path, own: Callable[[], keras.Model], task: Task, undeclared: Callable[[], Iterable[str]]
) -> keras.Model:
    """Returns the trained model at `path`: weights for the task's network, an earlier run's stage, or a whole model.

    Args:
        path: The file.
        own: Builds the task's own network, for files of weights alone: a whole model may be of a size that it cannot
            have.
        task: The task, whose `signature` says what a model must take and give.
        undeclared: Returns what the task's settings do not say and only the user of a whole model can know.

    Raises:
        BadInput: The file does not fit.
    """
    subject = f"task.baseline: {path}"
    if not own_model.is_whole_model(path):
        model = own()
        networks.load_weights(model, path, "task.baseline")
        return adopted(model, task, subject)
    stage = own_model.is_stage(path)
    asked = [] if stage else dict.fromkeys(undeclared())
    said = [f"task.baseline is a model of your own: say {'; and say '.join(asked)}."] if asked else []
    signature = dataclasses.replace(task.signature(), order=None if stage else task.given_outputs)
    try:
        model = own_model.read_model(path, signature, allow_code=task.allow_code)
    except BadInput as error:  # told together, so that nobody starts once for each
        if stage and (network := _built(own)):  # what it was trained on tells more than the shapes that came of it
            own_model.refuse_other_stage(path, task.preprocessing.name, task.metadata(network))
        raise BadInput(" ".join([str(error), *said])) from error
    if said:
        raise BadInput(*said)
    if file := tflite_model.file_of(model):
        _refuse_other_inputs(file, task, subject)
    if not stage:
        return adopted(model, task, subject)
    own_model.refuse_other_stage(path, task.preprocessing.name, task.metadata(model))
    return model


def _built(own: Callable[[], keras.Model]) -> keras.Model | None:
    """Returns the task's own network; None where it cannot have the task's shape."""
    try:
        return own()
    except BadInput:
        return None


def _refuse_other_inputs(file: GivenTFLite, task: Task, subject: str) -> None:
    """Raises BadInput where the task's preprocessing is not what a `.tflite` was made for, as far as the file tells."""
    rule = task.preprocessing
    if file.metadata:
        named = getattr(task, "preprocessing_name", "")
        if named not in ("", rule.name) or not rule.is_identity:
            drop = "Leave task.preprocessing_name out." if named else "Add --set=task.standardise=none."
            raise BadInput(f"{subject} takes raw inputs: what preprocesses them is inside it already. {drop}")
        return
    if file.input_range and rule.bounds and not _alike(file.input_range, rule.bounds):
        known = {name: preprocessing_text.preprocessing(name) for name in preprocessing_text.NAMES}
        fitting = [name for name, one in known.items() if _alike(file.input_range, one.bounds)]
        advice = f"Say --set=task.preprocessing_name={' or '.join(fitting)}." if fitting else "Give another file."
        low, high = file.input_range
        raise BadInput(
            f"{subject} takes inputs of {low:.4g} to {high:.4g}, and preprocessing {rule.name} gives "
            f"{rule.bounds[0]:.4g} to {rule.bounds[1]:.4g}. {advice}"
        )


def _alike(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Says whether two ranges (low, high) may be of the same numbers, seen on different examples."""
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return shared >= _SHARED * max(one[1] - one[0], other[1] - other[0])


def adopted(model: keras.Model, task: Task, subject: str) -> keras.Model:
    """Returns a given `model` with outputs in the task's units (Task.converted).

    Raises BadInput, which begins with `subject` ("task.baseline: mine.h5"), where their meaning is not known, and where
    the model's answers on val contradict it (Task.check_answers).
    """
    made = task.converted(model, subject)
    if made is not model and (file := tflite_model.file_of(made)):
        raise BadInput(
            f"{subject} answers in another unit than the task, and the answers of {file.name} cannot be rescaled. "
            "Convert it again from a model that answers in the task's, or give the Keras model."
        )
    numbers = sum(math.prod(one.shape[1:]) for one in made.outputs)
    count, most = len(task.examples("val")), min(_EXAMPLES, max(_FEWEST, _NUMBERS // numbers))
    chosen = np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
    task.check_answers(made, *scoring.Scorer(made, task).said("val", chosen), subject)
    return made
