"""Answers a misspelt name with the nearest one that exists and the list of what is there (difflib)."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Collection, Iterable, Sequence


def nearest(name: str, choices: Iterable[str], cutoff: float = 0.5) -> str | None:
    """Returns the choice that `name` most probably means, whatever the case, or None where none is near.

    Args:
        name: What was typed.
        choices: The names that exist.
        cutoff: The similarity in [0, 1] (difflib's ratio) below which a name is not near.
    """
    by_case = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(name.lower(), by_case, n=1, cutoff=cutoff)
    return by_case[near[0]] if near else None


def suggestion(name: str, choices: Iterable[str]) -> str:
    """Returns `Did you mean "sparsity"? There is: epochs, sparsity.`, with the question only where a choice is near."""
    choices = list(choices)
    near = nearest(name, choices)
    question = f'Did you mean "{near}"? ' if near else ""
    more = f" and {len(choices) - 20:,} more" if len(choices) > 20 else ""
    return f"{question}There is: {', '.join(choices[:20]) or 'nothing'}{more}."


def shortened(text: str, most: int = 200) -> str:
    """Returns `text` in at most `most` letters; a longer one loses its middle, for both ends tell names apart."""
    if len(text) <= most:
        return text
    head = (most - 2) // 2
    return f"{text[:head]}..{text[len(text) - (most - 2 - head) :]}"


def listed(names: Sequence[str], most: int = 3) -> str:
    """Returns the first names with commas, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def free_name(wanted: str, taken: Collection[str]) -> str:
    """Returns a layer's name that is not taken: `wanted`, or that with the first number that is free ("dense_2")."""
    names = itertools.chain([wanted], (f"{wanted}_{count}" for count in itertools.count(2)))
    return next(name for name in names if name not in taken)
