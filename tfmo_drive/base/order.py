"""Checks the order of a recipe's steps: none may undo what an earlier one provides."""

from __future__ import annotations

from tfmo_drive.contracts import BadInput, Step


def refuse(recipe: tuple[Step, ...]) -> None:
    """Raises BadInput, before hours of training, where a later step would undo what an earlier one promises."""
    for count, later in enumerate(recipe):
        undone = next((earlier for earlier in recipe[:count] if later.undoes(earlier)), None)
        if undone is not None:
            wanted = [earlier.provides for earlier in recipe[:count] if earlier.provides]
            advice = later.to_preserve(wanted) or f"Put {type(later).__name__} first."
            raise BadInput(
                f"recipe: {type(later).__name__} after {type(undone).__name__} would undo {undone.promise}. {advice}"
            )
