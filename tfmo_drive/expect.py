"""Defines the contract of an experiment, in the user's terms.

A miss is exit code 1; a time that a busy machine kept from being measured is exit code 3.
"""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tfmo_drive.base import speed
from tfmo_drive.base.recipe import SMALL
from tfmo_drive.contracts import BadInput
from tfmo_drive.report.row_facts import beats_trivial, over_trivial

Row = Mapping[str, Any]
Rows = Sequence[Row]
LIMITS = {"points": (-1, 1), "ratio": (0, 100), "share": (0, 1), "bytes": (0, 2**40), "ms": (0, 10**6),
          "error": (0, 10**9)}  # fmt: skip
"""The range of a bound, by unit; one point is 0.01."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """Describes one number that a bound can be about."""

    unit: str
    of: Callable[[Row, Rows], float]
    """Computes the value from the row and all rows; raises LookupError, TypeError or ValueError without one."""
    least: bool = False
    """Whether the bound is from below."""
    elsewhere: bool = False
    """Whether a row of the same model on another target answers where the row itself cannot."""
    decided: Callable[[Row, float], bool] = lambda row, bound: True
    """Whether the row's measurement can meet or miss the bound at all: a time on a busy machine can do neither."""
    of_network: bool = False
    """Whether a bound is about the size, speed or level of one network, and says nothing of another one."""
    of_data: bool = False
    """Whether a bound is about the level that one data set allows, and says nothing of another one."""


FIGURES = {
    "score_drop": Figure("points", lambda row, rows: -row["score_delta"]),
    "worst_class_drop": Figure("points", lambda row, rows: max(-c["delta"] for c in row["per_class"].values())),
    "worst_part_drop": Figure("points", lambda row, rows: _worst_part_drop(row, rows[0])),
    "worst_corruption_drop": Figure("points", lambda row, rows: -row["worst_corruption_delta"]),
    "keras_gap": Figure("points", lambda row, rows: abs(row["score"] - row["keras_score"])),
    "over_control": Figure("points", lambda row, rows: row["score"] - max(_controls(row, rows)), least=True),
    "baseline_score": Figure("share", lambda row, rows: rows[0]["score"], least=True, of_network=True,
                             of_data=True),
    "miss_rate": Figure("share", lambda row, rows: _miss_rate(row), of_network=True, of_data=True),
    "npu_share": Figure("share", lambda row, rows: _npu_share(row["npu"]), least=True, elsewhere=True,
                        of_network=True),
    "error_ratio": Figure("ratio", lambda row, rows: row["mean_absolute_error"] / rows[0]["mean_absolute_error"]),
    "error_rise": Figure("error", lambda row, rows: row["error_delta"]),
    "size_ratio": Figure("ratio", lambda row, rows: row["size_bytes"] / rows[0]["size_bytes"], of_network=True),
    "gzip_ratio": Figure("ratio", lambda row, rows: row["gzip_bytes"] / rows[0]["gzip_bytes"], of_network=True),
    "gzip_ratio_plain": Figure("ratio", lambda row, rows: row["gzip_bytes"] / _plain(row, rows)["gzip_bytes"],
                               of_network=True),
    "latency_ratio": Figure("ratio", lambda row, rows: 1 / _speed(row).ratio, of_network=True,
                            decided=lambda row, bound: _speed(row).decides(bound)),
    "parameter_ratio": Figure("ratio", lambda row, rows: row["parameters"] / rows[0]["parameters"], of_network=True),
    "macs_ratio": Figure("ratio", lambda row, rows: row["macs"] / rows[0]["macs"], of_network=True),
    "flash_bytes": Figure("bytes", lambda row, rows: row["size_bytes"], of_network=True),
    "arena_bytes": Figure("bytes", lambda row, rows: row["arena_bytes"], elsewhere=True, of_network=True),
    "sram_bytes": Figure("bytes", lambda row, rows: row["npu"]["sram_bytes"], elsewhere=True, of_network=True),
    "latency_p95_ms": Figure("ms", lambda row, rows: _p95_ms(row), of_network=True,
                             decided=lambda row, bound: "npu" in row or speed.steady_p95(row)),
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Expect:
    """Bounds one row of the recipe: that on `target`, by default the experiment's last one.

    What only another target knows (arena_bytes of TFLiteMicro, npu_share and sram_bytes of EthosU) is taken from that
    target's row of the same model. A bound of None is not checked.

    Largest values, as fractions (0.01 = one point): score_drop, the float baseline's score minus the row's;
    worst_class_drop, the drop of the class that lost most; worst_part_drop, of the task of MultiTask that lost most;
    worst_corruption_drop, the drop on corrupted pixels, under the corruption and severity where it is largest
    (measures.robustness); keras_gap, the difference between the row's score and that of the Keras model it was made
    from; miss_rate, the log-average miss rate of pedestrians.

    Largest ratios, of the row to the float row: size_ratio, gzip_ratio, parameter_ratio, macs_ratio
    (multiply-accumulates), error_ratio (the mean absolute error, where a number is predicted), latency_ratio (of times
    taken in turns). gzip_ratio_plain is the ratio to the row of the uncompressed baseline on the same target.

    error_rise is the largest rise of the mean error over the float row's, in the number's unit: 2.0 allows 2 m more.

    Largest costs: flash_bytes, the file; arena_bytes; sram_bytes; latency_p95_ms, on the machine that measures, for
    EthosU Vela's estimate. TFLiteMicro has no latency, since no microcontroller runs it here. Times are neither met nor
    missed where they repeat no better than within 20 %.

    Least values: baseline_score, the score of the float row itself; over_control, the row's score minus that of the
    best of the experiment's own controls on the same target; npu_share, the share of operators that the NPU takes.

    baseline_beats_trivial: the float baseline, and the row as well, must be better than the task's trivial answer by
    the whole 95 % interval of the difference; test examples of one single group have none, and what is not decided is
    no pass. Only a test of mechanics, on models that have learnt nothing on purpose, switches it off.

    Example:
        >>> import tfmo_drive as td
        >>> td.Expect(score_drop=0.01, size_ratio=0.3).size_ratio
        0.3
    """

    score_drop: float | None = None
    worst_class_drop: float | None = None
    worst_part_drop: float | None = None
    worst_corruption_drop: float | None = None
    keras_gap: float | None = None
    miss_rate: float | None = None
    error_ratio: float | None = None
    error_rise: float | None = None
    size_ratio: float | None = None
    gzip_ratio: float | None = None
    gzip_ratio_plain: float | None = None
    latency_ratio: float | None = None
    parameter_ratio: float | None = None
    macs_ratio: float | None = None
    flash_bytes: float | None = None
    arena_bytes: float | None = None
    sram_bytes: float | None = None
    latency_p95_ms: float | None = None
    npu_share: float | None = None
    baseline_score: float | None = None
    over_control: float | None = None
    baseline_beats_trivial: bool = True
    target: str = ""

    def __post_init__(self):
        for name, bound in self._bounds():
            unit = FIGURES[name].unit
            low, high = LIMITS[unit]
            if not isinstance(bound, numbers.Real) or isinstance(bound, bool) or not low <= bound <= high:
                what = {
                    "bytes": "bytes such as 320000",
                    "ms": "milliseconds such as 12.5",
                    "error": "a number in the unit of the task's error, such as 2.0 (metres)",
                }
                raise BadInput(f"Expect.{name} must be {what.get(unit, 'a fraction such as 0.01')}, got {bound!r}.")
        if not isinstance(self.baseline_beats_trivial, bool):
            raise BadInput(f"Expect.baseline_beats_trivial must be True or False, got {self.baseline_beats_trivial!r}.")

    def _bounds(self) -> list[tuple[str, float]]:
        named = [(name, getattr(self, name)) for name in FIGURES]
        return [(name, bound) for name, bound in named if bound is not None]

    def losses(self, row: Row, rows: Rows) -> list[dict]:
        """Returns the missed verdicts of `verdicts` that are about what the row lost of the score, or of the answers.

        A bound on size or speed is that of the row that the experiment judges, and no other's.
        """
        losing = {name for name, figure in FIGURES.items() if not figure.of_network and not figure.least}
        return [one for one in self.verdicts(row, rows) if one["name"] in losing and one["passed"] is False]

    def asked(self) -> list[tuple[str, float, bool]]:
        """Returns (name, bound, whether it is a least one) of every bound given."""
        return [(name, bound, FIGURES[name].least) for name, bound in self._bounds()]

    def of_data(self) -> tuple[str, ...]:
        """Returns the names of the bounds given that are about the level that one data set allows."""
        return tuple(name for name, _ in self._bounds() if FIGURES[name].of_data)

    def of_network(self) -> tuple[str, ...]:
        """Returns the names of the bounds given that are about the size, speed or level of one network."""
        return tuple(name for name, _ in self._bounds() if FIGURES[name].of_network)

    def verdicts(self, row: Row | None, rows: Rows) -> list[dict]:
        """Returns one {"name", "row", "bound", "value", "unit", "passed", "least"} for each bound.

        A number that was not measured is a miss; one that cannot be measured on a busy machine is neither: "passed" is
        None. First come the verdicts whether the baseline and the row are better than the trivial answer, where rows
        were compared with it.
        """
        asked = self.baseline_beats_trivial and bool(over_trivial(rows[0]))
        worth = [_worth("baseline_beats_trivial", rows[0], row)] if asked else []
        worth += [_worth("beats_trivial", row, row)] if asked and row is not rows[0] else []
        return worth + [_verdict(name, bound, row, rows) for name, bound in self._bounds()]


def _worth(name: str, said: Row | None, judged: Row | None) -> dict:
    """Returns the verdict whether the row `said` beats the trivial answer.

    Its value is the lowest lower end of the row's intervals, and 0 where it gives the same answer to every example;
    without an interval it is None, which is no pass.
    """
    found = over_trivial(said).values() if said else []
    lows = [0.0 if one.get("always_the_same") else one["over_trivial_low"] for one in found]
    value = min(lows) if lows and None not in lows else None
    return {
        "name": name, "judged": judged["name"] if judged else None, "row": said["name"] if said else "no such row",
        "bound": 0.0, "value": value, "unit": "points", "passed": bool(said and beats_trivial(said)), "least": True,
    }  # fmt: skip


def exit_code(verdicts: Sequence[Mapping[str, Any]]) -> int:
    """Returns 1 for a miss; else 3 for a time that could not be measured on a busy machine; else 0."""
    passed = [one["passed"] for one in verdicts]
    return 1 if False in passed else 3 if None in passed else 0


def _verdict(name: str, bound: float, row: Row | None, rows: Rows) -> dict:
    figure = FIGURES[name]
    said, value = _answered(figure, rows[0] if name == "baseline_score" else row, rows)
    slack = -1.0 if value is None else value - bound if figure.least else bound - value
    passed = slack >= -1e-9 if value is None or figure.decided(said, bound) else None
    return {
        "name": name, "judged": row["name"] if row else None, "row": said["name"] if said else "no such row",
        "bound": bound, "value": value, "unit": _unit(figure, row), "passed": passed, "least": figure.least,
    }  # fmt: skip


def _unit(figure: Figure, row: Row | None) -> str:
    """Returns a figure's unit; of an error the row's own ("m")."""
    return (row or {}).get("error_unit", "") if figure.unit == "error" else figure.unit


def _answered(figure: Figure, row: Row | None, rows: Rows) -> tuple[Row | None, float | None]:
    """Returns the row that answers and its value.

    That is the row's own, or, where it has none, the worst over the model's other targets.
    """
    value = _measured(figure, row, rows) if row else None
    if row is None or value is not None or not figure.elsewhere:
        return row, value
    others = [(one, _measured(figure, one, rows)) for one in rows if one["stage"] == row["stage"]]
    known = [pair for pair in others if pair[1] is not None]
    worst = min if figure.least else max
    return worst(known, key=lambda pair: pair[1]) if known else (row, None)


def _measured(figure: Figure, row: Row, rows: Rows) -> float | None:
    try:
        return figure.of(row, rows)
    except (LookupError, TypeError, ValueError, ZeroDivisionError):
        return None


def _controls(row: Row, rows: Rows) -> list[float]:
    """Returns the scores of the experiment's own controls on the same target."""
    return [one["score"] for one in rows if one["target"] == row["target"]
            and one["stage"] not in ("baseline", SMALL, row["stage"])]  # fmt: skip


def _worst_part_drop(row: Row, first: Row) -> float:
    return max(first[key] - row[key] for key in row if key.startswith("part_"))


def _plain(row: Row, rows: Rows) -> Row:
    """Returns the uncompressed baseline's row on the same target."""
    return [one for one in rows if one["target"] == row["target"] and one["stage"] == "baseline"][0]


def _miss_rate(row: Row) -> float:
    """Returns the log-average miss rate of the detector, alone or among several tasks in one model."""
    return row[[key for key in row if key.endswith("log_average_miss_rate")][0]]


def _speed(row: Row) -> speed.Speed:
    found = speed.of(row)
    if found is None:
        raise LookupError("not timed in turns with the float row")
    return found


def _p95_ms(row: Row) -> float:
    if "arena_bytes" in row:
        raise LookupError("a microcontroller's kernels, but not its processor")
    return row["npu"]["inference_ms"] if "npu" in row else row["latency_p95_ms"]


def _npu_share(said: Row) -> float:
    return said["npu_operators"] / (said["npu_operators"] + said["cpu_operators"])
