"""Holds what every step shares that changes a network at once, without training."""

from __future__ import annotations

import abc
from pathlib import Path

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import Context, Step
from tfmo_drive.networks import graph
from tfmo_drive.networks.fake_quant import refuse_quantize_aware


class UntrainedStep(Step, abc.ABC):
    """Changes a float network without training; its finished stage is read back into `outline`, weights alone."""

    @abc.abstractmethod
    def changed(self, model: keras.Model, context: Context) -> keras.Model:
        """Returns the changed copy, of the structure that `outline` says; `model` stays as it was."""

    def __call__(self, model: keras.Model, context: Context) -> keras.Model:
        refuse_quantize_aware(model, type(self).__name__)
        return self.changed(model, context)

    def reload(self, model: keras.Model, weights: Path, context: Context) -> keras.Model:
        made = graph.copied(self.outline(model))
        made.load_weights(str(weights))
        return made
