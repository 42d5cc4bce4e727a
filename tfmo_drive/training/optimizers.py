"""Builds the optimizers of the training loop, under warm-up and cosine: Nesterov SGD, or Adam (Kingma & Ba 2015)."""

from __future__ import annotations

from typing import Any

from tfmo_drive.base.keras2 import keras

OPTIMIZERS = ("sgd", "adam")


def optimizer(fit: Any, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Returns the optimizer that `fit`, a trained_step.TrainedStep, names.

    It is one of Keras's legacy ones, a single fused kernel per variable where the new ones take five, each over all 23
    million weights of a ResNet50.
    """
    rate = _schedule(fit, steps_per_epoch)
    if fit.optimizer == "adam":
        return keras.optimizers.legacy.Adam(rate, beta_1=fit.momentum)
    return keras.optimizers.legacy.SGD(rate, momentum=fit.momentum, nesterov=fit.momentum > 0)


def _schedule(fit: Any, steps_per_epoch: int):
    total = max(1, fit.epochs * steps_per_epoch)
    warmup = min(int(round(fit.warmup_epochs * steps_per_epoch)), total - 1)
    return keras.optimizers.schedules.CosineDecay(
        fit.learning_rate * (0.1 if warmup else 1.0),
        total - warmup,
        alpha=fit.final_learning_rate,
        warmup_target=fit.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
