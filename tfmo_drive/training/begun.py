"""Records whose progress lies in a step's folder: begun.json names the step, the model it began from and the data.

A step goes on where it was interrupted, and gives what it made before when it is called again. Another step, or the
same on other data, would get that instead of its own result: it is refused by name.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfmo_drive.base import atomic
from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.overrides import settings
from tfmo_drive.base.run_folder import file_digest, key, read_json
from tfmo_drive.contracts import BadInput, Context, Step
from tfmo_drive.networks.layers import weights_digest

FILE = "begun.json"
KEPT = ("progress.npz", "pruning_ratio.json")
"""The files that steps keep and read back."""


def claim(step: Step, model: keras.Model, context: Context) -> None:
    """Records in `context.workdir` that `step` begins there from `model`.

    Raises BadInput where another's progress lies there.
    """
    folder = context.workdir
    facts = _facts(step, model, context)
    found = read_json(folder / FILE)
    kept = [path for place in (folder, *folder.glob("round_*")) for name in KEPT if (path := place / name).exists()]
    same = {name: found.get(name) for name in facts} == facts
    if kept and found and not same:
        other = [_CALLED[name] for name in _CALLED if found.get(name) != facts[name]]
        raise BadInput(
            f"{folder} holds the progress of {found.get('step')}, begun with other {' and '.join(other) or 'facts'}, "
            f"not of {facts['step']}. Choose another workdir for each, or remove {folder}."
        )
    if kept and not found:
        raise BadInput(
            f"{kept[0]} is progress, and no {FILE} says of what. Choose another workdir, or remove {folder}."
        )
    if not same:
        atomic.write_json(folder / FILE, facts)


_CALLED = {"settings": "settings", "data": "data", "seed": "seed", "model": "first weights", "baseline": "baseline"}


def _facts(step: Step, model: keras.Model, context: Context) -> dict[str, Any]:
    try:
        said = settings(step)
    except BadInput:  # a lambda: equal to itself alone, so that nothing is gone on from in another process
        said = repr(step)
    return {
        "step": f"{type(step).__name__}({', '.join(_changed(step))})",
        "settings": key(said, [file_digest(path) for path in step.files if os.path.exists(path)]),
        "data": key(context.task.identity(), context.task.fingerprint()),
        "seed": context.seed,
        "model": weights_digest(model),
        "baseline": weights_digest(context.baseline) if getattr(step, "distill", None) else "",
    }


def _changed(step: Step) -> Iterator[str]:
    """Yields the settings that are not their defaults, as one types them."""
    for field in dataclasses.fields(step):
        value, made = getattr(step, field.name), field.default_factory
        default = field.default if made is dataclasses.MISSING else made()
        if field.compare and value != default:
            text = " ".join(str(value if not isinstance(value, Path | str) else repr(str(value))).split())
            yield f"{field.name}={text[:60]}"
