"""Settings as they are typed: every one becomes a value of its declared type that means the text, or is refused."""

import functools
import json
import math

import numpy as np
from damage import NUMBERS, VALUES, damaged_text, pick

from tfmo_drive.base.overrides import describe, override, settings
from tfmo_drive.commands import experiment_flags
from tfmo_drive.contracts import BadInput

NAMES = ("pruned_quantized", "sensor_speed", "sensor_rows", "detection_quantized", "lane_quantized")
WORDS = (
    "none", "true", "False", "a,a", "0.5,0.5", "1,2,3", "[1, [2, [3]]]", "MobileNetV2", "DenseLayers", "L1", "L2",
    "SoftLabels", "{'a': 1}", "(", "[" * 300, "-" * 5000 + "1", "9" * 30, "9" * 5000, "1e400", "-1e400", "nan", "inf",
    "1_000", "0x10", "1j", "b'x'", "...", "{1}", "[1, 1e999]", "{'a': 10**9}", "'a'*9", "\u0661", "\U0001f697",
)  # fmt: skip


@functools.cache
def _experiment(name: str):
    return experiment_flags.experiment(name)


@functools.cache
def _lines(name: str) -> list[list[str]]:
    return [line.split(maxsplit=1) for line in describe(_experiment(name)).splitlines() if " " in line.strip()]


def _at(value, path: str):
    for part in map(str.strip, path.split(".")):
        value = getattr(value, part) if hasattr(value, part) else value[int(part) if part.isdigit() else part]
    return value


def _text(random: np.random.Generator, before: str) -> str:
    kind = random.random()
    if kind < 0.3:
        return damaged_text(random, before, 2)
    if kind < 0.6:
        return pick(random, WORDS)
    return str(pick(random, NUMBERS if kind < 0.8 else VALUES))


def _means(value, text: str) -> bool:
    """Whether a setting's value is what the text says, by Python's own words for numbers."""
    if isinstance(value, bool) or value is None:
        return text.lower() in (str(value).lower(), "null")
    if isinstance(value, int | float):
        return math.isfinite(value) and float(text.replace(" ", "") if "0x" not in text else int(text, 16)) == value
    return value == text or not isinstance(value, str) or value == text.strip("'\"") or repr(value) in text


def test_typed_settings_mean_their_text_or_are_refused(fuzz):
    def attempt(case):
        name = pick(case.random, NAMES)
        path, before = pick(case.random, _lines(name))
        if case.random.random() < 0.1:
            path = damaged_text(case.random, path, 1)
        text = _text(case.random, before)
        assignment = f"{path}={text}"
        made = case.read("", lambda: override(_experiment(name), [assignment]))
        if case.refused:
            parts = [part.strip() for part in path.split(".") if not part.strip().isdigit()]
            assert any(str(BadInput(part))[:20] in case.message for part in parts), (
                f"{path} is not named: {case.message!r}"
            )
            return
        said = settings(made)
        json.dumps(said, allow_nan=False).encode()
        assert describe(made).encode()
        place, _, text = assignment.partition("=")
        value = _at(made, place.strip())
        assert _means(value, text.strip()), f"{assignment!r} became {value!r}"
        assert settings(override(made, [assignment])) == said

    fuzz(attempt, cases=1000)
