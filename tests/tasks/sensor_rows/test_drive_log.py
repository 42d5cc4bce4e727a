"""Logs of drives: streams on one clock, nothing from the future in a row, no second in two groups."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.contracts import BadInput
from tfmo_drive.tasks.sensor_rows import drive_log
from tfmo_drive.tasks.sensor_rows.drive_log import (
    AGES,
    AHEAD,
    GROUP,
    TICK,
    DriveLogs,
    channels,
    is_log,
    on_one_clock,
    windows,
)

SECONDS = 30.0


def streams(seconds: float = SECONDS) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Every channel of a sensor is a ramp of its time; clocks of their own, as on the car."""
    found = {}
    for number, (name, columns) in enumerate(drive_log.STREAMS.items()):
        times = 100 + np.arange(0, seconds, 1 / (80 + 7 * number))
        found[name] = times, np.stack([times + i for i in range(len(columns))], 1)
    times = 100 + np.arange(0, seconds, 0.01)
    points = np.zeros((len(times), 7))
    points[:, 0], points[:, 1], points[:, 2], points[:, 3] = 40, 5, -1, np.nan
    found[drive_log.RADAR] = times, points
    return found


def save(path, found) -> None:
    times = {f"{name}.t": times for name, (times, _) in found.items()}
    np.savez(path, **times, **{f"{name}.value": values for name, (_, values) in found.items()})


def test_a_tick_is_the_mean_of_what_came_since_the_last_or_the_last_sample():
    times, values = np.array([0.0, 0.02, 0.04, 0.30]), np.array([[1.0], [2.0], [6.0], [9.0]])
    found = drive_log._means(times, values, np.array([0.055, 0.20, 0.299, 0.30]))
    assert found.ravel().tolist() == [4.0, 6.0, 6.0, 9.0]


def test_no_reading_is_newer_than_its_tick():
    found = streams()
    readings = on_one_clock(found)
    clock = 100 + TICK * np.arange(1, len(readings) + 1)
    speed = readings[:, channels().index("speed_mps")]
    assert (speed <= clock).all() and (speed > clock - 2 * TICK).all()
    assert readings.shape == (round(SECONDS / TICK) - 1, 15)


def test_the_nearest_point_of_the_own_lane_is_the_lead_for_a_fifth_of_a_second():
    clock = np.array([0.1, 0.2, 0.5])
    points = np.array([[50, 0.5, -3], [30, -1.0, -2], [10, 4.0, 0], [-5, 0, 0]], float)
    found = drive_log._lead(np.array([0.05, 0.15, 0.15, 0.15]), points, clock)
    assert found.tolist() == [[50, -3, 1], [30, -2, 1], [150, 0, 0]]


def test_a_row_and_its_target_stay_in_one_group():
    readings = np.arange(3 * GROUP, dtype=float)[:, None]
    rows, targets, groups = windows(readings, 0)
    assert (rows[:, -1] + AHEAD == targets).all() and (rows[:, -1] - rows[:, 0] == max(AGES)).all()
    assert (rows[:, 0] // GROUP == groups).all() and (targets // GROUP == groups).all()
    assert np.bincount(groups).tolist() == [GROUP - max(AGES) - AHEAD] * 3


def test_logs_of_a_folder_share_no_group(tmp_path):
    save(tmp_path / "a.npz", streams()), save(tmp_path / "b.npz", streams(20.0))
    assert is_log(tmp_path) and is_log(tmp_path / "a.npz")
    source = DriveLogs(tmp_path, "speed")
    parts = list(source.chunks())
    assert not set(parts[0].groups) & set(parts[1].groups) and (parts[0].splits == -1).all()
    assert parts[0].inputs.shape[1] == len(source.columns) == len(AGES) * 15
    steering = next(DriveLogs(tmp_path, "steering").chunks())
    assert not np.array_equal(steering.targets, parts[0].targets)
    # One second after the row's last reading, which is at most a tick and the sensor's own beat old.
    ahead = parts[0].targets - parts[0].inputs[:, source.columns.index("speed_mps 0.0 s")]
    assert np.abs(ahead - 1).max() < TICK


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda found: found.pop("IMU.gyro"), "not a log of a drive.*IMU.gyro"),
        (lambda found: found["CAN.speed"][1].__setitem__(3, np.nan), "stream CAN.speed holds what is no finite number"),
        (lambda found: found.update({"IMU.gyro": (np.arange(9.0), np.zeros((9, 2)))}), "IMU.gyro must hold .*3"),
    ],
)
def test_a_log_that_cannot_be_read_is_one_line(tmp_path, spoil, words):
    found = streams()
    spoil(found)
    save(tmp_path / "log.npz", found)
    with pytest.raises(BadInput, match=words) as refused:
        list(DriveLogs(tmp_path, "speed").chunks())
    assert "\n" not in str(refused.value)


def test_another_target_is_refused(tmp_path):
    with pytest.raises(BadInput, match='no target "sped". Did you mean "speed"'):
        DriveLogs(tmp_path, "sped")


@pytest.mark.real
def test_the_real_drive_gives_rows_that_stay_near_their_target(shared):
    source = DriveLogs(shared / "data" / "comma2k19_example", "speed")
    (chunk,) = source.chunks()
    assert np.isfinite(chunk.inputs).all() and len(chunk.inputs) > 600
    now = chunk.inputs[:, source.columns.index("speed_mps 0.0 s")]
    wheels = chunk.inputs[:, source.columns.index("wheel_fl_mps 0.0 s")]
    assert np.abs(chunk.targets - now).max() < 5 and np.corrcoef(now, wheels)[0, 1] > 0.999
    seen = chunk.inputs[:, source.columns.index("lead_seen 0.0 s")]
    assert 0 < seen.mean() <= 1


def test_arrays_that_are_no_drive_are_told_where_they_go(tmp_path):
    np.savez(tmp_path / "mnist.npz", x_train=np.zeros((5, 2)), y_train=np.zeros(5))
    for place in (tmp_path, tmp_path / "mnist.npz"):
        with pytest.raises(BadInput, match=r'mnist.npz holds the arrays "x_train", "y_train", .*td.arrays\(train='):
            drive_log.refuse_other_arrays(place)
