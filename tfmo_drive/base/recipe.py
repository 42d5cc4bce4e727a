"""Checks the steps of a recipe against one another and against a model, and applies them in order."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from tfmo_drive.contracts import BadInput, BrokenPromise, Context, Step, Task

if TYPE_CHECKING:
    import tf_keras as keras

SMALL = "small_from_nothing"
"""The name of the control that every recipe that trains has: the small network that a user would train instead."""


def refuse_order(steps: Sequence[Step]) -> None:
    """Raises BadInput, before hours of training, where a later step would undo what an earlier one promises."""
    for count, later in enumerate(steps):
        undone = next((earlier for earlier in steps[:count] if later.undoes(earlier)), None)
        if undone is not None:
            advice = later.to_preserve(_provided(steps[:count])) or f"Put {type(later).__name__} first."
            raise BadInput(
                f"recipe: {type(later).__name__} after {type(undone).__name__} would undo {undone.promise}. {advice}"
            )


def refuse_model(steps: Sequence[Step], model: keras.Model, task: Task) -> None:
    """Raises BadInput where a step cannot work on what earlier ones leave of `model`, or would change nothing of it."""
    if steps:
        refuse_unchangeable(type(steps[0]).__name__, model)
    for count, step in enumerate(steps, start=1):
        step.refuse(model)
        if why := step.idle(model):
            raise BadInput(f"{type(step).__name__} would change nothing of {model.name}: {why}")
        if count < len(steps):
            model = _left(step, model, task)


def refuse_unchangeable(who: str, model: keras.Model) -> None:
    """Raises BadInput, which begins with `who` would change the model, where a layer of it says that nothing can."""
    fixed = next((layer.unchangeable for layer in model.layers if hasattr(layer, "unchangeable")), "")
    if fixed:
        raise BadInput(f"{who} cannot change {fixed}")


def outlined(steps: Sequence[Step], model: keras.Model, task: Task) -> keras.Model:
    """Returns a model of the structure that the steps leave of `model`; its weights do not count."""
    for step in steps:
        model = _left(step, model, task)
    return model


def _left(step: Step, model: keras.Model, task: Task) -> keras.Model:
    return apart(lambda: step.successor(task)) if step.replaces_model else step.outline(model)


def apart(build: Callable[[], keras.Model]) -> keras.Model:
    """Returns a model built in a thread of its own, whose count of unnamed layers is its own too.

    Layers that are built later are else called otherwise than where nothing had to be tried.
    """
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(build).result()


def shaping(steps: Sequence[Step]) -> list[Step]:
    """Returns the steps that say that they leave another structure than they find."""
    return [step for step in steps if step.replaces_model or type(step).outline is not Step.outline]


def apply_steps(
    steps: Sequence[Step], model: keras.Model, context: Context, done: int = 0
) -> Iterator[tuple[int, Step, keras.Model]]:
    """Applies the steps after the first `done`, each in a folder of its own, and checks all earlier promises again.

    Yields:
        (number of the step counted from 1, the step, the model that it leaves). Raises BadInput where a step cannot
        work on the model, and BrokenPromise where a step undid what an earlier one promised.
    """
    for count, step in enumerate(steps, start=1):
        if count <= done:
            continue
        if count == done + 1 or steps[count - 2].replaces_model:
            refuse_model(steps[count - 1 :], model, context.task)
        folder = context.workdir / f"{count}_{step.name}"
        model = step(model, dataclasses.replace(context, workdir=folder))
        step.check(model)
        for kept in steps[: count - 1]:
            _check_again(kept, step, model, _provided(steps[: count - 1]))
        yield count, step, model


def _provided(steps: Sequence[Step]) -> list[str]:
    """Returns the promises of the steps, in one word each."""
    return [step.provides for step in steps if step.provides]


def _check_again(kept: Step, step: Step, model: keras.Model, provided: list[str]) -> None:
    """Calls `kept.check`; its error also names the step that broke the promise and what to do about it."""
    try:
        kept.check(model)
    except BrokenPromise as broken:
        name = type(step).__name__
        if kept.provides and kept.provides in step.preserves:
            advice = f"It should have preserved that: report this fault of {name}, with the recipe."
        else:
            advice = step.to_preserve(provided) or f"Put {name} before {type(kept).__name__}."
        raise BrokenPromise(f"{broken} {name}, which ran after it, undid it. {advice}") from broken
