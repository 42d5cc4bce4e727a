"""Two sources never write one key of a row."""

from __future__ import annotations

import pytest

from tfmo_drive.base.row_keys import joined
from tfmo_drive.contracts import BadInput
from tfmo_drive.measures.cost import Cost
from tfmo_drive.measures.size import Size


def test_numbers_are_added_and_neither_side_is_changed():
    row, found = {"score": 0.9}, {"size_bytes": 3}
    assert joined(row, found, Size()) == {"score": 0.9, "size_bytes": 3}
    assert (row, found) == ({"score": 0.9}, {"size_bytes": 3})


def test_a_key_that_the_row_has_already_is_refused_even_with_an_equal_value():
    with pytest.raises(BadInput, match="^Cost gives a row macs, which it has already. Give it another name.$"):
        joined({"macs": 1, "name": "x"}, {"parameters": 2, "macs": 1}, Cost())
