"""Generates built-in rows: what ten sensors of a car read over the last second, from a seed, with the exact truth.

Each drive is a hidden chain of manoeuvres that the car follows with a lag. Sensors see it in their own units (ranges
from 1 to 100,000), through noise, biases that stay for a drive, gears, and a wheel that slips; two of them see nothing
of it. The class is the manoeuvre of the row's last instant, the number the speed one second later: both depend on what
no sensor can know yet, so no network gets all of them right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.splitting import SPLITS
from tfmo_drive.tasks.sensor_rows.packed_rows import Chunk, RowSource

MANOEUVRES = ("cruise", "accelerate", "brake", "turn_left", "turn_right", "slip")
CHANNELS = (
    "wheel_speed_kmh", "engine_rpm", "forward_mps2", "left_mps2", "yaw_mdegps", "steering_deg", "throttle_percent",
    "brake_bar", "air_pressure_pa", "battery_mv",
)  # fmt: skip
HERTZ = 10
WINDOW, AHEAD, LENGTH = 10, 10, 64
"""The steps that a row looks back, those to its target, and those of one drive."""
ROWS = LENGTH - WINDOW + 1 - AHEAD
"""The number of rows of one drive."""
_DRIVES = 256
"""The number of drives generated at once: 12,000 rows."""
_VERSION = 1
"""The version of the arithmetic below: it counts up with every change, so that an old cache is never taken for it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series:
    """Sets how many built-in rows each split has, their seed, and how noisy they are (0 clean .. 1 very).

    Example:
        >>> import tfmo_drive as td
        >>> td.Series(train=9000).train
        9000
    """

    train: int = 60_000
    val: int = 6_000
    test: int = 12_000
    seed: int = 0
    difficulty: float = 0.5

    def __post_init__(self):
        for split in SPLITS:
            if getattr(self, split) < ROWS:
                raise BadInput(f"Series.{split} must be at least {ROWS} rows (one drive), got {getattr(self, split)}.")
        if not 0 <= self.difficulty <= 1:
            raise BadInput(f"Series.difficulty must be in [0, 1], got {self.difficulty}.")
        if self.seed < 0:
            raise BadInput(f"Series.seed must be at least 0, got {self.seed}.")


class SeriesRows(RowSource):
    """Generates the rows of `series`; the target is the manoeuvre (`classes`) or the speed in m/s one second later."""

    name, unit = "built-in series", "m/s"
    columns = tuple(f"{channel} {-age / HERTZ:.1f} s" for age in range(WINDOW - 1, -1, -1) for channel in CHANNELS)

    def __init__(self, series: Series, classes: bool) -> None:
        self.series, self._classes = series, classes
        self.key = ["series", _VERSION, dataclasses.asdict(series), classes]

    @property
    def classes(self) -> tuple[str, ...]:
        return MANOEUVRES if self._classes else ()

    def chunks(self) -> Iterator[Chunk]:
        """Yields the rows of all splits; a drive is a group, and drive i of a split is the same whatever the counts."""
        before = 0
        for split, name in enumerate(SPLITS):
            count = getattr(self.series, name)
            for block in range(-(-count // (_DRIVES * ROWS))):
                inputs, manoeuvres, speeds = generated(self.series, split, block)
                targets = (manoeuvres if self._classes else speeds).reshape(-1)
                groups = before + block * _DRIVES + np.repeat(np.arange(_DRIVES), ROWS)
                kept = slice(count - block * _DRIVES * ROWS)
                rows = inputs.reshape(-1, len(self.columns))[kept]
                yield Chunk(rows, targets[kept], groups[kept], np.full(len(rows), split))
            before += -(-count // ROWS)


def generated(series: Series, split: int, block: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the drives of one block.

    Returns:
        Rows float32 [drives, ROWS, WINDOW * channels], oldest instant first; manoeuvres int64 [drives, ROWS]; speeds
            one second later, float64 [drives, ROWS] in m/s.
    """
    generator = np.random.default_rng([series.seed, split, block])
    manoeuvres, acceleration, yaw, slip = _driven(generator)
    start = generator.uniform(3, 33, (_DRIVES, 1))
    speed = np.clip(start + np.cumsum(acceleration, 1) / HERTZ, 0, 45)
    readings = _read(generator, np.stack([speed, acceleration, yaw, slip]), series.difficulty)
    windows = np.lib.stride_tricks.sliding_window_view(readings, WINDOW, axis=1)[:, :ROWS]
    last = slice(WINDOW - 1, WINDOW - 1 + ROWS)
    rows = np.swapaxes(windows, 2, 3).reshape(_DRIVES, ROWS, -1)
    return rows.astype(np.float32), manoeuvres[:, last], speed[:, WINDOW - 1 + AHEAD :]


def _driven(generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Returns manoeuvres int64 and the car's acceleration in m/s2, yaw in rad/s and slip in 0..1, all [drives, LENGTH].

    A manoeuvre lasts 1.5 s on average, and the car follows with a time constant of 0.3 s.
    """
    shape = (_DRIVES, LENGTH)
    begins = generator.random(shape) < 1 / (1.5 * HERTZ)
    begins[:, 0] = True
    since = np.maximum.accumulate(np.where(begins, np.arange(LENGTH), 0), axis=1)
    kinds = np.take_along_axis(generator.integers(0, len(MANOEUVRES), shape), since, 1)
    strength = np.take_along_axis(generator.uniform(0.2, 1.0, shape), since, 1)
    wanted = np.stack([
        np.array([0.0, 2.5, -4.0, -0.4, -0.4, 1.2])[kinds] * strength,
        np.array([0.0, 0.0, 0.0, 0.25, -0.25, 0.0])[kinds] * strength,
        np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1.0])[kinds] * strength,
    ])  # fmt: skip
    followed = np.zeros_like(wanted)
    for step in range(1, LENGTH):
        followed[..., step] = followed[..., step - 1] + (wanted[..., step] - followed[..., step - 1]) / (0.3 * HERTZ)
    return kinds, *followed


def _read(generator: np.random.Generator, truth: np.ndarray, noise: float) -> np.ndarray:
    """Returns the sensors' readings, float64 [drives, LENGTH, 10].

    `truth` is speed, acceleration, yaw and slip, [4, drives, LENGTH].
    """
    speed, acceleration, yaw, slip = truth
    grade, roll, zero = generator.normal(0, noise, (3, len(speed), 1)) * [[[0.6]], [[0.6]], [[1.0]]]
    wheel = speed * (1 + 0.08 * slip)
    effort = np.maximum(acceleration + grade, 0)
    clean = [
        3.6 * wheel,
        900 + 2600 * (wheel % 8) / 8 + 250 * effort,
        acceleration + grade,
        speed * yaw + roll,
        57_296 * yaw + 1500 * zero,
        16 * np.degrees(np.arctan(2.7 * yaw / np.maximum(speed, 2))) + 3 * zero,
        10 + 0.4 * speed + 14 * effort,
        14 * np.maximum(-acceleration - 0.3, 0),
        101_325 + 800 * generator.normal(size=(len(speed), 1)) + np.zeros_like(speed),
        13_800 + 150 * generator.normal(size=(len(speed), 1)) + np.zeros_like(speed),
    ]
    spread = np.array([0.8, 120, 0.7, 0.9, 3000, 3.0, 8.0, 4.0, 15, 60])
    return np.stack(clean, -1) + generator.normal(size=(*speed.shape, len(CHANNELS))) * spread * noise
