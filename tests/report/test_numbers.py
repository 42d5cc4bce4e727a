"""Numbers are spelt with their units, a fixed number of digits, and a dash for what is unknown."""

from __future__ import annotations

import math

import pytest

from tfmo_drive.report.rendering import numbers


@pytest.mark.parametrize(
    ("spelt", "value", "text"),
    [
        (numbers.size, 999, "999 B"),
        (numbers.size, 999_600, "1.00 MB"),
        (numbers.size, 490_000, "490 kB"),
        (numbers.size, 94_300_000, "94.3 MB"),
        (numbers.count, 23_600_000, "23.6 M"),
        (numbers.count, 43, "43"),
        (numbers.percent, 0.9512, "95.1 %"),
        (numbers.points, -0.0834, "-8.3"),
        (numbers.points, 0.004, "+0.4"),
        (numbers.points, -0.0004, "0.0"),
        (numbers.times, 3.897, "3.9x"),
        (numbers.times, 0.123, "0.12x"),
        (numbers.times, 1.043, "1.04x"),
        (numbers.times, 1.012, "1.0x"),
        (numbers.milliseconds, 1.0512, "1.05 ms"),
        (numbers.milliseconds, 0.0, "0.00 ms"),
        (numbers.degrees, -0.126, "-0.13\N{DEGREE SIGN}"),
        (numbers.duration, 8.24, "8.2 s"),
        (numbers.duration, 185, "3 min 05 s"),
        (numbers.duration, 7800, "2 h 10 min"),
        (numbers.whole, 1055, "1,055"),
    ],
)
def test_number_is_spelt_with_its_unit(spelt, value, text):
    assert spelt(value) == text


@pytest.mark.parametrize(
    "spelt",
    [numbers.size, numbers.count, numbers.percent, numbers.points, numbers.times, numbers.milliseconds,
     numbers.degrees, numbers.duration, numbers.whole, numbers.significant],
)  # fmt: skip
@pytest.mark.parametrize("unknown", [None, math.nan, math.inf])
def test_unknown_number_is_a_dash(spelt, unknown):
    assert spelt(unknown) == "–"
