"""Turns recorded drives (comma2k19: Schafer et al. 2018, arXiv:1812.05752) into rows.

A row is the last second of CAN, IMU and radar on one clock, and its target what the car does one second later. A log is
an .npz of streams, each with its own times: "CAN.speed.t" in seconds and "CAN.speed.value". Only what was known at a
row's instant goes into it: a tick holds the mean of the samples since the tick before, or the last sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from tfmo_drive.base import given_file
from tfmo_drive.base.run_folder import file_digest
from tfmo_drive.base.spelling import suggestion
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import quoted
from tfmo_drive.tasks.sensor_rows.packed_rows import Chunk, RowSource
from tfmo_drive.tasks.sensor_rows.row_splits import UNKNOWN

TICK = 0.05
"""The seconds of a tick: the rate of the camera."""
AGES = tuple(range(0, 20, 4))
"""The ages in ticks of a row's readings: 0 to 0.8 s."""
AHEAD = 20
"""The ticks from a row to its target: 1 s."""
GROUP = 100
"""The ticks of a group, 5 s. A row and its target lie in one group whole, so that no second is in two splits."""
STREAMS = {
    "CAN.speed": ("speed_mps",),
    "CAN.steering_angle": ("steering_deg",),
    "CAN.wheel_speed": ("wheel_fl_mps", "wheel_fr_mps", "wheel_rl_mps", "wheel_rr_mps"),
    "IMU.accelerometer": ("forward_mps2", "right_mps2", "down_mps2"),
    "IMU.gyro": ("roll_radps", "pitch_radps", "yaw_radps"),
}
RADAR = "CAN.radar"
LEAD = ("lead_m", "lead_relative_mps", "lead_seen")
TARGETS = {"speed": "speed_mps", "steering": "steering_deg"}
UNITS = {"speed": "m/s", "steering": "degrees"}
_LARGEST = float(np.finfo(np.float32).max)
_DAY = 86_400.0
"""The seconds of a day."""
_LANE, _RANGE, _FRESH = 1.8, 150.0, 0.2
"""Half a lane in m; the distance in m that stands for no car; the seconds for which a radar point counts."""


def is_log(path: Path) -> bool:
    """Says whether the path is an .npz file or a folder that holds some."""
    return path.suffix == ".npz" if path.is_file() else any(path.glob("*.npz"))


def refuse_other_arrays(path: Path) -> None:
    """Raises BadInput where the first of some .npz files holds arrays, and not one stream of a drive."""
    file = path if path.is_file() else min(path.glob("*.npz"))
    with given_file.reading(file, "a log of a drive", "Expected the streams of comma2k19."), np.load(file) as log:
        names = list(log)
    if not any(f"{stream}.t" in names for stream in (*STREAMS, RADAR)):
        raise BadInput(
            f"{file} holds the arrays {quoted(names)}, and no log of a drive. Arrays are taken from Python: "
            "td.arrays(train=(x, y), val=(x, y), test=(x, y))."
        )


class DriveLogs(RowSource):
    """Reads every log of a folder, or one file; `target` is speed (m/s) or steering (degrees), one second ahead."""

    classes = ()
    layout, grouped = "logs of drives", f"stretches of {GROUP * TICK:g} s"

    def __init__(self, path: Path, target: str) -> None:
        if target not in TARGETS:
            raise BadInput(f'A drive\'s log has no target "{target}". {suggestion(target, TARGETS)}')
        self.name, self._target, self.unit = str(path), target, UNITS[target]
        self.predicted = f"{target} {AHEAD * TICK:g} s ahead"
        self._files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
        self.key = ["log", [file_digest(file) for file in self._files], target, file_digest(Path(__file__))]
        self.columns = tuple(f"{name} {-age * TICK:.1f} s" for age in reversed(AGES) for name in channels())

    def chunks(self) -> Iterator[Chunk]:
        groups = 0
        for file in self._files:
            readings = on_one_clock(_streams(file))
            rows, targets, group = windows(readings, channels().index(TARGETS[self._target]))
            yield Chunk(rows, targets, groups + group, np.full(len(rows), UNKNOWN))
            groups += len(readings) // GROUP + 1


def channels() -> tuple[str, ...]:
    """Returns the names of what is read at every tick, in order."""
    return (*(name for names in STREAMS.values() for name in names), *LEAD)


def windows(readings: np.ndarray, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns rows from the readings of a drive.

    Args:
        readings: float [ticks, channels].
        target: The index of the target's channel.

    Returns:
        Rows [m, ages * channels], oldest first; the target AHEAD ticks later [m]; and the group of each row, int64 [m].
    """
    now = np.arange(max(AGES), len(readings) - AHEAD)
    now = now[(now - max(AGES)) // GROUP == (now + AHEAD) // GROUP]
    rows = readings[now[:, None] - np.array(AGES[::-1])]
    return rows.reshape(len(now), -1), readings[now + AHEAD, target], now // GROUP


def on_one_clock(streams: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Returns the readings at every tick from the last start to the first end, float64 [ticks, channels].

    `streams` has by name the times [n], in seconds, and the values [n, k] of each sensor.
    """
    start, end = _span(streams)
    clock = np.arange(start + TICK, end, TICK)
    parts = [_means(*streams[name], clock) for name in STREAMS]
    return np.concatenate([*parts, _lead(*streams[RADAR], clock)], axis=1)


def _span(streams: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """Returns the last start and the first end."""
    return max(times[0] for times, _ in streams.values()), min(times[-1] for times, _ in streams.values())


def _means(times: np.ndarray, values: np.ndarray, clock: np.ndarray) -> np.ndarray:
    """Returns the mean of the samples since the tick before, or the last sample: [ticks, k]."""
    end = np.searchsorted(times, clock, "right")
    first = np.minimum(np.searchsorted(times, clock - TICK, "right"), end - 1)
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    return (sums[end] - sums[first]) / (end - first)[:, None]


def _lead(times: np.ndarray, points: np.ndarray, clock: np.ndarray) -> np.ndarray:
    """Returns the nearest radar point ahead in the own lane: distance in m, relative speed in m/s, 1 (0: none seen)."""
    found = np.tile([_RANGE, 0.0, 0.0], (len(clock), 1))
    ahead, left = points[:, 0], points[:, 1]
    kept = np.flatnonzero((ahead > 0) & (np.abs(left) < _LANE))
    first, end = (np.searchsorted(times[kept], clock - back, "right") for back in (_FRESH, 0.0))
    for tick in np.flatnonzero(end > first):
        fresh = points[kept[first[tick] : end[tick]]]
        distance, _, speed = fresh[fresh[:, 0].argmin(), :3]
        found[tick] = distance, speed, 1.0
    return found


def _streams(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns times [n], rising, and values [n, k] of every stream, in float64."""
    with given_file.reading(path, "a log of a drive", "Expected the streams of comma2k19."), np.load(path) as log:
        stored = {name: (log[f"{name}.t"], log[f"{name}.value"]) for name in (*STREAMS, RADAR)}
    found = {}
    for name, (times, values) in stored.items():
        width = len(STREAMS.get(name, range(7)))
        if (
            not _numbers(times) or not _numbers(values) or len(times) < 2 or times.ndim > 1
            or values.shape not in ((len(times), width), (len(times),) * (width == 1))
        ):  # fmt: skip
            raise BadInput(
                f"{path}: the stream {name} must hold numbers: at least two times [n] and values [n, {width}], got "
                f"{times.dtype} {times.shape} and {values.dtype} {values.shape}."
            )
        times, values = times.astype(np.float64), values.astype(np.float64).reshape(-1, width)
        used = values[:, :3] if name == RADAR else values
        if not np.isfinite(times).all() or not (np.abs(used) <= _LARGEST).all():
            raise BadInput(f"{path}: the stream {name} holds what is no finite number within float32. Drop its rows.")
        order = np.argsort(times, kind="stable")
        found[name] = times[order], values[order]
    _check_span(path, found)
    return found


def _numbers(array: np.ndarray) -> bool:
    return array.ndim > 0 and array.dtype.kind in "fiu"


def _check_span(path: Path, streams: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Raises BadInput where no row can be made, or times are not in seconds."""
    first, last = _span(streams)
    least = (max(AGES) + AHEAD + 2) * TICK
    if not least <= last - first <= _DAY:
        raise BadInput(
            f"{path}: its streams have {last - first:.6g} s in common; a row takes {least:g} s, and a log is of a day "
            "at most. Times are in seconds, by one clock."
        )
