"""The order of a recipe: which steps would undo what an earlier one guarantees, and what to type instead."""

from __future__ import annotations

import dataclasses

from tfmo_drive.contracts import BadInput, Step


def refuse(recipe: tuple[Step, ...]) -> None:
    """BadInput, before hours of training, where a later step would undo what an earlier one guarantees."""
    for count, later in enumerate(recipe):
        promised = [earlier for earlier in recipe[:count] if earlier.guarantees or (later.anew and earlier.promise)]
        undone = next((earlier for earlier in promised if later.anew or earlier.guarantees not in later.keeps), None)
        if undone is not None:
            advice = _preserving(later, promised) or f"Put {type(later).__name__} first."
            raise BadInput(
                f"recipe: {type(later).__name__} after {type(undone).__name__} would undo {undone.promise}. {advice}"
            )


def _preserving(later: Step, promised: list[Step]) -> str:
    """What to type so that the step keeps everything promised before it; "" where it cannot."""
    wanted = "+".join(dict.fromkeys(earlier.guarantees for earlier in promised))
    try:
        dataclasses.replace(later, preserve=wanted)
    except (TypeError, BadInput):
        return ""
    return f'Use {type(later).__name__}(preserve="{wanted}").'
