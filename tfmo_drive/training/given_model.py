"""Reads a given model, converts its outputs to the task's units, and checks it on data before anything is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput, Task
from tfmo_drive.networks import networks, own_model
from tfmo_drive.training import scoring

_EXAMPLES, _FEWEST, _NUMBERS = 128, 8, 1 << 24
"""The most and the fewest val examples that are asked, and the largest count of numbers in their answers."""


def baseline(path: Path, own: keras.Model, task: Task, undeclared: Callable[[], Iterable[str]]) -> keras.Model:
    """Returns the trained model at `path`: weights for the task's network, an earlier run's stage, or a whole model.

    Args:
        path: The file.
        own: The task's own network, for files of weights alone.
        task: The task.
        undeclared: Returns what the task's settings do not say and only the user of a whole model can know.

    Raises:
        BadInput: The file does not fit.
    """
    subject = f"task.baseline: {path}"
    if not own_model.is_whole_model(path):
        networks.load_weights(own, path, "task.baseline")
        return adopted(own, task, subject)
    stage = own_model.is_stage(path)
    if stage:
        own_model.refuse_other_stage(path, task.preprocessing.name, task.metadata(own))
    asked = [] if stage else dict.fromkeys(undeclared())
    said = [f"task.baseline is a model of your own: say {'; and say '.join(asked)}."] if asked else []
    try:
        model = own_model.read_model(path, own_model.Signature.of(own), allow_code=task.allow_code)
    except BadInput as error:  # told together, so that nobody starts once for each
        raise BadInput(" ".join([str(error), *said])) from error
    if said:
        raise BadInput(*said)
    return model if stage else adopted(model, task, subject)


def adopted(model: keras.Model, task: Task, subject: str) -> keras.Model:
    """Returns a given `model` with outputs in the task's units (Task.converted).

    Raises BadInput, which begins with `subject` ("task.baseline: mine.h5"), where their meaning is not known, and where
    the model's answers on val contradict it (Task.check_answers).
    """
    made = task.converted(model, subject)
    numbers = sum(math.prod(one.shape[1:]) for one in made.outputs)
    count, most = len(task.examples("val")), min(_EXAMPLES, max(_FEWEST, _NUMBERS // numbers))
    chosen = np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
    task.check_answers(made, *scoring.Scorer(made, task).said("val", chosen), subject)
    return made
