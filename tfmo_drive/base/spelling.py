"""Answers to a misspelt name: the nearest one that exists, and the list of what is there (difflib)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, choices: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The choice that `name` is most probably meant to be, whatever the case; None where none is near."""
    by_case = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(name.lower(), by_case, n=1, cutoff=cutoff)
    return by_case[near[0]] if near else None


def suggestion(name: str, choices: Iterable[str]) -> str:
    """`Did you mean "sparsity"? There is: epochs, sparsity.` (the question only where a choice is near)."""
    choices = list(choices)
    near = nearest(name, choices)
    question = f'Did you mean "{near}"? ' if near else ""
    more = f" and {len(choices) - 20:,} more" if len(choices) > 20 else ""
    return f"{question}There is: {', '.join(choices[:20]) or 'nothing'}{more}."


def shortened(text: str, most: int = 200) -> str:
    """`text`, with its middle left out where it has more than `most` letters: a cell may have a hundred thousand."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]}...{text[-half:]}"
