"""The order of a recipe: which steps would undo what an earlier one guarantees, and what to type instead."""

from __future__ import annotations

from tfmo_drive.contracts import BadInput, Step


def refuse(recipe: tuple[Step, ...]) -> None:
    """BadInput, before hours of training, where a later step would undo what an earlier one guarantees."""
    for count, later in enumerate(recipe):
        undone = next((earlier for earlier in recipe[:count] if later.undoes(earlier)), None)
        if undone is not None:
            wanted = [earlier.provides for earlier in recipe[:count] if earlier.provides]
            advice = later.to_keep(wanted) or f"Put {type(later).__name__} first."
            raise BadInput(
                f"recipe: {type(later).__name__} after {type(undone).__name__} would undo {undone.promise}. {advice}"
            )
