"""Watches the epochs of the training loop: a bar on a terminal, and an end where the loss is not finite."""

from __future__ import annotations

import math

from absl import logging
from tqdm import tqdm

from tfmo_drive.base import progress
from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.data import batches


class Bar(keras.callbacks.Callback):
    """Shows a bar of the epoch's batches on a terminal, and nothing elsewhere."""

    def __init__(self, epoch: str, steps: int):
        super().__init__()
        self.said, self.steps = ", ".join(filter(None, (progress.place(), epoch))), steps

    def on_train_begin(self, logs=None):
        """Begins the bar."""
        shown = None if logging.get_verbosity() >= logging.INFO else True
        self.bar = tqdm(total=self.steps, desc=self.said, unit="batch", disable=shown, leave=False)

    def on_train_batch_end(self, batch, logs=None):
        """Moves the bar by a batch."""
        self.bar.set_postfix(loss=logs["loss"], refresh=False)
        self.bar.update()

    def on_train_end(self, logs=None):
        """Takes the bar away."""
        self.bar.close()


class StopOnNonFinite(keras.callbacks.Callback):
    """Stops where the loss is not finite and names the batch and its examples; TerminateOnNaN stops silently."""

    def __init__(self, epoch: int, context: Context, batch_size: int):
        super().__init__()
        self.epoch, self.context, self.batch_size = epoch, context, batch_size

    def on_train_batch_end(self, batch, logs=None):
        """Raises BadInput where the batch's loss is not finite."""
        if math.isfinite(logs["loss"]):
            return
        shown = batches.shown(self.context.task, self.context.seed, self.epoch)
        indices = shown[batch * self.batch_size :][: self.batch_size]
        raise BadInput(
            f"The loss became {logs['loss']} in epoch {self.epoch + 1}, batch {batch + 1} (train examples "
            f"{', '.join(map(str, indices[:8]))}, ...). Lower learning_rate, or look at these examples."
        )
