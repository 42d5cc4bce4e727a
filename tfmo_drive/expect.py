"""The contract of an experiment, in the user's terms: a miss is a non-zero exit code."""

from __future__ import annotations

import dataclasses

from tfmo_drive.contracts import BadInput

LEAST = ("baseline_score", "over_control")
"""Bounds from below; all others are from above."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Expect:
    """Bounds for one row of the recipe (on `target`; by default the experiment's last one).

    score_drop: float baseline's score minus the row's (0.01 = one point). keras_gap: between the row's score and that
    of the Keras model it was made from. Ratios are the row's over the float row's (macs: multiply-accumulates);
    gzip_ratio_plain is over the row of the uncompressed baseline on the same target. Least values: baseline_score, of
    the float row itself; over_control, the row's score minus that of the best control on the same target.
    """

    score_drop: float | None = None
    keras_gap: float | None = None
    size_ratio: float | None = None
    gzip_ratio: float | None = None
    gzip_ratio_plain: float | None = None
    latency_ratio: float | None = None
    parameter_ratio: float | None = None
    macs_ratio: float | None = None
    baseline_score: float | None = None
    over_control: float | None = None
    target: str = ""

    def __post_init__(self):
        for name, bound in self._bounds():
            if not -1 <= bound <= 100:
                raise BadInput(f"Expect.{name} must be a fraction such as 0.01, got {bound}.")

    def _bounds(self) -> list[tuple[str, float]]:
        named = [(field.name, getattr(self, field.name)) for field in dataclasses.fields(self)]
        return [(name, bound) for name, bound in named if name != "target" and bound is not None]

    def verdicts(self, row: dict | None, rows: list[dict]) -> list[dict]:
        """One {"name", "row", "bound", "value", "passed", "least"} per bound; what was not measured is a miss."""
        found = []
        for name, bound in self._bounds():
            judged = rows[0] if name == "baseline_score" else row
            value = _value(name, judged, rows) if judged else None
            slack = (value - bound if name in LEAST else bound - value) if value is not None else -1
            passed = slack >= -1e-9
            said = judged["name"] if judged else "no such row"
            entry = {"name": name, "row": said, "bound": bound, "value": value, "passed": passed}
            found.append(entry | {"least": name in LEAST})
        return found


def _value(name: str, row: dict, rows: list[dict]) -> float | None:
    """The row's figure for a bound; None where something it needs was not measured."""
    same_target = [other for other in rows if other["target"] == row["target"]]
    plain = [other for other in same_target if other["stage"] == "baseline"]
    controls = [other for other in same_target if other["stage"] not in ("baseline", row["stage"])]
    figures = {
        "score_drop": lambda: -row["score_delta"],
        "baseline_score": lambda: row["score"],
        "over_control": lambda: row["score"] - max(other["score"] for other in controls),
        "parameter_ratio": lambda: row["parameters"] / rows[0]["parameters"],
        "macs_ratio": lambda: row["macs"] / rows[0]["macs"],
        "keras_gap": lambda: abs(row["score"] - row["keras_score"]),
        "latency_ratio": lambda: 1 / row["speedup"],  # timed in turns with the float row
        "size_ratio": lambda: row["size_bytes"] / rows[0]["size_bytes"],
        "gzip_ratio": lambda: row["gzip_bytes"] / rows[0]["gzip_bytes"],
        "gzip_ratio_plain": lambda: row["gzip_bytes"] / plain[0]["gzip_bytes"],
    }
    try:
        return figures[name]()
    except (KeyError, IndexError, TypeError, ValueError):
        return None
