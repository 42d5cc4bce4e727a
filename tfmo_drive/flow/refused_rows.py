"""Tries what a run will convert before anything is trained: the outline of every recipe on every target."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from tfmo_drive.base import cache, inputs, python_file
from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.outputs import each
from tfmo_drive.base.overrides import settings
from tfmo_drive.base.recipe import apart, outlined, shaping
from tfmo_drive.contracts import BadInput, Context, Preprocessing, Preprocessings, Step, Target
from tfmo_drive.conversion.freezing import Frozen, freeze
from tfmo_drive.conversion.tflite_target import converting
from tfmo_drive.conversion.trials import Trial, noise, reasons
from tfmo_drive.networks import fake_quant


def refused(
    model: keras.Model, recipes: Mapping[str, tuple[Step, ...]], context: Context
) -> dict[tuple[str, str], str]:
    """Returns why rows, (name of the recipe, name of the target), cannot be made, whatever training makes of weights.

    Args:
        model: The baseline; its weights do not count.
        recipes: The recipes by the names of their rows, the baseline's empty one among them.
        context: Gives task and targets.

    Raises:
        BadInput: A step cannot build what it leaves.
    """
    rows = [(name, target) for name in recipes for target in context.targets]
    tried = [one for recipe in recipes.values() for one in _trials(model, recipe, context)]
    found = zip(rows, reasons(tried), strict=True)
    return {(name, target.name): reason for (name, target), reason in found if reason}


def _trials(model: keras.Model, recipe: tuple[Step, ...], context: Context) -> Iterator[Trial]:
    """Yields the trial of a recipe on every target; the outline is built once, and only where one is not known yet."""
    rule, shaped = context.task.preprocessing, shaping(recipe)
    outline = functools.cache(lambda: apart(lambda: _ranged(outlined(recipe, model, context.task), rule)))
    of_task = context.task.identity() if any(step.replaces_model for step in shaped) else {}
    try:
        built = [model.to_json(), settings(rule), settings(shaped), python_file.own_code(shaped), of_task]
        text = cache.digest(built)
    except (NotImplementedError, TypeError, ValueError):  # a layer of a user's own without a description
        text = ""

    def frozen_for(target: Target) -> Callable[[], Frozen]:
        def frozen() -> Frozen:
            if reason := target.refuses(outline()):
                raise BadInput(reason)
            with converting(target.name, model.name), _alive(outline()):
                return freeze(outline(), rule)

        return frozen

    for target in context.targets:
        yield Trial(text, frozen_for(target), target)


def _ranged(model: keras.Model, rule: Preprocessing | Preprocessings) -> keras.Model:
    """Gives a quantize-aware model the ranges of noise, those of its input being as they will be, and returns it."""
    if fake_quant.is_quantize_aware(model):
        with _alive(model):
            shape = each(lambda tensor: tuple(tensor.shape), inputs.named(model))
            fake_quant.calibrate(model, [rule(noise(rule, shape))], rule)
    return model


@contextlib.contextmanager
def _alive(model: keras.Model) -> Iterator[None]:
    """Lets no scale or kernel be all zeros, as the last BatchNorm of a residual block is before it is trained.

    A converter leaves what is multiplied by such a constant in float.
    """
    zeros = [weight for weight in model.trainable_weights if not np.any(weight)]
    dead = [weight for weight in zeros if not any(word in weight.name for word in ("bias", "beta"))]
    for weight in dead:
        weight.assign(np.full(weight.shape, 0.5))
    try:
        yield
    finally:
        for weight in dead:
            weight.assign(np.zeros(weight.shape))
