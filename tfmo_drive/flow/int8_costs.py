"""Measures, before a recipe's steps train, an int8 file whose float weights say that it will lose much.

Of a row that the run is about, the file is made of the baseline at once. Where it loses on val what steps give back
without any training, the run is refused with these steps; where none does, it goes on, and its row says what it lost.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np

from tfmo_drive.base import outputs
from tfmo_drive.base.recipe import outlined, refuse_model, refuse_order
from tfmo_drive.contracts import BadInput, Context, Step, Target
from tfmo_drive.networks import folding
from tfmo_drive.steps.equalize import Equalize
from tfmo_drive.steps.fold_batch_norm import FoldBatchNorm
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.training import scoring

MUCH, LITTLE = 0.05, 0.02
"""The loss of score on val from which an int8 file is refused, and up to which a remedy is one."""
REMEDIES: tuple[tuple[Step, ...], ...] = ((FoldBatchNorm(), Equalize()), (QuantizeAware(epochs=0),))
"""The steps that bring gains far apart into kernels, which have a scale for each channel; QuantizeAware does so before
it trains, and ends on val in nothing worse than that."""


def refuse_avoidable(row: str, recipe: tuple[Step, ...], target: Target, context: Context) -> None:
    """Raises BadInput, which says what to add to the recipe, where its int8 file would lose what REMEDIES give back.

    Args:
        row: The row's name, with which the message begins.
        recipe: Its steps.
        target: Its target; one that does not compute in integers throughout refuses nothing.
        context: Gives the trained baseline, of whose weights all is said.
    """
    if not getattr(target, "integer", False) or any(step.provides == "int8" or step.replaces_model for step in recipe):
        return
    found = folding.far_apart(outlined(recipe, context.baseline, context.task))
    remedies = [one for one in REMEDIES if found and _possible((*recipe, *one), context)]
    if not remedies:
        return
    val = scoring.score(context.baseline, context.task, "val")
    own = tuple(step for step in recipe if isinstance(step, FoldBatchNorm | Equalize))
    try:
        if (lost := val - _scored(own, target, context)) <= MUCH:
            return
        for remedy in remedies:
            if (left := val - _scored((*own, *remedy), target, context)) <= LITTLE:
                break
        else:
            return
    except BadInput:  # of which the row will tell, if training does not change it
        return
    worst = max(found, key=lambda one: one.bits)
    names = ",".join(type(step).__name__ for step in remedy)
    raise BadInput(
        f"{row}: of {context.baseline.name}'s val score, {val:.3f}, int8 would lose {lost:.3f}, for the gains of "
        f"{worst.layer.name} {worst.said}, and have one scale. End the recipe in {names.replace(',', ', ')} "
        f"(--set=recipe+={names}): {'nothing' if left <= 0 else f'{left:.3f}'} is lost then."
    )


def _possible(recipe: tuple[Step, ...], context: Context) -> bool:
    try:
        refuse_order(recipe)
        refuse_model(recipe, context.baseline, context.task)
    except BadInput:
        return False
    return True


def _scored(steps: tuple[Step, ...], target: Target, context: Context) -> float:
    """Returns the score on val of the file that the target makes of the baseline behind the steps."""
    examples, model = context.task.examples("val"), context.baseline
    indices = np.arange(len(examples))
    with tempfile.TemporaryDirectory() as folder:
        for step in steps:
            model = step(model, dataclasses.replace(context, workdir=Path(folder) / step.name))
        artifact = target(model, Path(folder), context)
        answers = outputs.predicted(artifact, examples, indices)
    targets = outputs.joined([examples.read(part)[1] for part in outputs.in_batches(indices)])
    return context.task.score(answers, targets)
