"""The contract of an experiment, in the user's terms: a miss is a non-zero exit code."""

from __future__ import annotations

import dataclasses

from tfmo_drive.contracts import BadInput


@dataclasses.dataclass(frozen=True, kw_only=True)
class Expect:
    """Upper bounds for one row of the recipe (on `target`; by default the experiment's last one).

    `score_drop`: float baseline's score minus the row's (0.01 = one point). Ratios are the row's over the float row's.
    """

    score_drop: float | None = None
    size_ratio: float | None = None
    gzip_ratio: float | None = None
    latency_ratio: float | None = None
    target: str = ""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            bound = getattr(self, field.name)
            if field.name != "target" and bound is not None and not -1 <= bound <= 100:
                raise BadInput(f"Expect.{field.name} must be a fraction such as 0.01, got {bound}.")

    def verdicts(self, rows: list[dict]) -> list[dict]:
        """One entry per bound and row: {"name", "row", "bound", "value", "passed"}; an unmeasured value is a miss."""
        bounds = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "target"}
        found = []
        for name, bound in bounds.items():
            for row in rows if bound is not None else ():
                value = _value(row, name)
                passed = value is not None and value <= bound + 1e-9
                found.append({"name": name, "row": row["name"], "bound": bound, "value": value, "passed": passed})
        return found


def _value(row: dict, name: str) -> float | None:
    """score_drop is the delta turned round, latency_ratio the speedup (timed in turns with the float row) inverted."""
    if name == "score_drop":
        return None if row.get("score_delta") is None else -row["score_delta"]
    if name == "latency_ratio":
        return 1 / row["speedup"] if row.get("speedup") else None
    return row.get(name)
