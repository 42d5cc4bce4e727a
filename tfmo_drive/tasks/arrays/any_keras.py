"""Takes a model as a user has it, of Keras 2 or 3 or a `.tflite`, in memory or in a file, and returns it in Keras 2."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput
from tfmo_drive.keras3 import exported, rebuilt
from tfmo_drive.networks import model_code, own_model
from tfmo_drive.runtimes import given_tflite, tflite_model


def is_of_keras_3(given: Any) -> bool:
    """Says whether a model, a layer or a loss is of Keras 3, or of a class that descends from one there."""
    return any(kind.__module__.split(".")[0] == "keras" for kind in type(given).__mro__)


def in_keras_2(given: Any, subject: str) -> keras.Model:
    """Returns a model in Keras 2: itself, or what its file holds, or, of Keras 3, one with equal answers.

    Args:
        given: The model, or the path of a `.keras` or HDF5 file of Keras 2 or 3, of a SavedModel folder of Keras 2, or
            of a `.tflite`, which becomes the only layer.
        subject: What to call it, with which a line begins.

    Raises:
        BadInput: It is no model, its file is damaged or holds code, or Keras 2 has no such layer (the line names it).
    """
    if isinstance(given, str | os.PathLike):
        path = Path(given).expanduser()
        if not own_model.is_whole_model(path, subject):
            raise BadInput(f"{subject}: {path} holds weights alone. Give the whole model: model.save('model.keras').")
        if given_tflite.is_tflite(path):
            return tflite_model.model_of(given_tflite.read(path, subject))
        model_code.refuse_code(path, subject, "load it yourself, and give the model that you have then")
        return own_model.load(path, subject, allow_code=False)
    if not isinstance(given, keras.Model) and is_of_keras_3(given) and hasattr(given, "save"):
        return rebuilt.rebuilt(exported.in_memory(given, subject), subject)
    if not isinstance(given, keras.Model):
        kind = type(given).__name__
        raise BadInput(f"{subject} must be a model of Keras 2 (tf_keras) or 3, or the path of its file, got {kind}.")
    return given
