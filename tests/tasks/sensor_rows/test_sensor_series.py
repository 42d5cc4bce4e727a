"""Built-in rows: the same from the same seed whatever the counts, in raw units, true to what was driven."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tfmo_drive.contracts import BadInput
from tfmo_drive.tasks.sensor_rows import sensor_series
from tfmo_drive.tasks.sensor_rows.sensor_series import CHANNELS, MANOEUVRES, ROWS, WINDOW, Series, SeriesRows, generated

SMALL = Series(train=2 * ROWS + 10, val=ROWS, test=ROWS)


def everything(series: Series, classes: bool = True):
    """inputs, targets, groups, splits."""
    return [np.concatenate(parts) for parts in zip(*SeriesRows(series, classes).chunks(), strict=True)]


def test_counts_are_kept_and_drives_are_groups_of_one_split():
    inputs, targets, groups, splits = everything(SMALL)
    assert np.bincount(splits).tolist() == [2 * ROWS + 10, ROWS, ROWS]
    assert np.bincount(groups).tolist() == [ROWS, ROWS, 10, ROWS, ROWS]
    assert inputs.shape == (len(splits), 100) and inputs.dtype == np.float32 and set(targets) <= set(range(6))


def test_a_row_depends_on_seed_split_and_place_alone():
    inputs, targets, _, splits = everything(SMALL)
    more, said, _, where = everything(dataclasses.replace(SMALL, train=1000 * ROWS))
    count = 2 * ROWS + 10
    assert np.array_equal(more[:count], inputs[:count]) and np.array_equal(said[:count], targets[:count])
    assert np.array_equal(more[where == 1], inputs[splits == 1])
    assert not np.array_equal(everything(dataclasses.replace(SMALL, seed=1))[0], inputs)
    assert len(np.unique(inputs, axis=0)) == len(inputs)


def test_a_window_slides_one_step_from_row_to_row():
    rows, _, _ = generated(Series(), 0, 0)
    steps = rows.reshape(len(rows), ROWS, WINDOW, len(CHANNELS))
    assert np.array_equal(steps[:, 1:, :-1], steps[:, :-1, 1:])
    assert SeriesRows.columns[0] == "wheel_speed_kmh -0.9 s" and SeriesRows.columns[-1] == "battery_mv 0.0 s"


def test_clean_sensors_say_what_was_driven():
    rows, manoeuvres, speeds = generated(Series(difficulty=0.0), 0, 0)
    steps = rows.reshape(len(rows), ROWS, WINDOW, len(CHANNELS))
    cruising = (manoeuvres == MANOEUVRES.index("cruise"))[:, 10:]  # ten rows later the wheel may slip no more
    wheel = steps[:, 10:, -1, CHANNELS.index("wheel_speed_kmh")] / 3.6
    gap = np.abs(wheel - speeds[:, :-10])  # the speed ten steps after a row is the wheel's ten rows later
    assert np.median(gap[cruising]) < 0.05 and gap.max() < 0.09 * speeds.max()
    braking = manoeuvres == MANOEUVRES.index("brake")
    brake = steps[..., -1, CHANNELS.index("brake_bar")]
    assert brake[braking].mean() > 10 * brake[~braking].mean()
    yaw = steps[..., -1, CHANNELS.index("yaw_mdegps")]
    assert yaw[manoeuvres == MANOEUVRES.index("turn_left")].mean() > 1000
    assert yaw[manoeuvres == MANOEUVRES.index("turn_right")].mean() < -1000


def test_columns_differ_in_range_by_orders_of_magnitude():
    spread = everything(SMALL)[0].std(0)
    assert spread.max() / spread.min() > 1000


def test_the_number_is_the_speed_to_come():
    speeds = everything(SMALL, classes=False)[1]
    assert np.array_equal(speeds[:ROWS], generated(SMALL, 0, 0)[2][0]) and 0 <= speeds.min() and speeds.max() <= 45
    assert SeriesRows(SMALL, False).classes == () and SeriesRows(SMALL, True).classes == MANOEUVRES


def test_the_key_covers_the_settings_and_the_arithmetic(monkeypatch):
    keys = [SeriesRows(SMALL, True).key, SeriesRows(SMALL, False).key]
    keys += [SeriesRows(dataclasses.replace(SMALL, difficulty=0.4), True).key]
    monkeypatch.setattr(sensor_series, "_VERSION", 0)
    keys += [SeriesRows(SMALL, True).key]
    assert len({str(key) for key in keys}) == 4


@pytest.mark.parametrize(("field", "value"), [("val", ROWS - 1), ("difficulty", 1.1), ("seed", -1)])
def test_a_setting_out_of_range_is_refused_by_name(field, value):
    with pytest.raises(BadInput, match=rf"Series\.{field} must be .* got {value}"):
        Series(**{field: value})
