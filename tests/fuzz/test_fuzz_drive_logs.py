"""Damaged .npz logs of drives, byte by byte and stream by stream."""

import io

import numpy as np
from damage import damaged_bytes, pick

from tfmo_drive.tasks.sensor_rows.drive_log import AGES, LEAD, RADAR, STREAMS, TICK, DriveLogs, channels


def _log() -> dict[str, np.ndarray]:
    random, found = np.random.default_rng(0), {}
    for name in (*STREAMS, RADAR):
        found[f"{name}.t"] = np.sort(random.uniform(0, 12, 240))
        found[f"{name}.value"] = random.normal(size=(240, len(STREAMS.get(name, range(7)))))
    return found


def _stored(log: dict) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **log)
    return stream.getvalue()


LARGEST = float(np.finfo(np.float32).max)
GOOD = _log()
BYTES = _stored(GOOD)


def _changed(random: np.random.Generator) -> dict:
    """The log with some streams of other shapes, types or values."""
    log = dict(GOOD)
    for name in random.choice(list(log), int(random.integers(1, 3)), replace=False):
        one, other = log[name], log[name].copy()
        other.flat[int(random.integers(one.size))] = pick(random, (np.nan, np.inf, 1e300, -1e300, 0.0, 7.0))
        kind = pick(random, (np.float16, np.complex128, object, "U8", "S4", ">f8", "<f4", "i4", "?"))
        log[name] = pick(random, (
            one[: int(random.integers(len(one) + 1))], one.T, one[..., None], one[::-1], np.repeat(one, 2, -1), other,
            one + pick(random, (1e3, -1e3, 1e15, 1e200)), one.astype(kind),
            np.array(pick(random, (1.0, b"x", "x", None, [[1.0]], [1j, 2j], [True, False], ["1.5", "2"]))),
        ))  # fmt: skip
        if random.random() < 0.1:
            del log[name]
    return log


def _row(log: dict, tick: int) -> list[float]:
    """What a row says of one instant, sample by sample; the radar's left out."""
    start = max(float(log[f"{name}.t"].min()) for name in (*STREAMS, RADAR))
    clock, found = start + TICK * (1 + tick), []
    for name in STREAMS:
        times, values = log[f"{name}.t"].astype(float), log[f"{name}.value"].astype(float)
        values = values.reshape(len(times), -1)[np.argsort(times, kind="stable")]
        times = np.sort(times)
        inside = values[(times > clock - TICK + 1e-9) & (times <= clock + 1e-9)]
        found += (inside.mean(0) if len(inside) else values[times <= clock + 1e-9][-1]).tolist()
    return found


def test_damaged_logs_are_read_right_or_refused(fuzz):
    def attempt(case):
        path, whole = case.folder / "drive.npz", case.random.random() < 0.5
        log = GOOD if whole else _changed(case.random)
        path.write_bytes(damaged_bytes(case.random, BYTES) if whole else _stored(log))
        chunks = case.read(path, lambda: list(DriveLogs(path, pick(case.random, ("speed", "steering"))).chunks()))
        for rows, targets, groups, _ in chunks or ():
            assert rows.shape == (len(targets), len(AGES) * len(channels())) and len(groups) == len(targets) > 0
            assert (np.abs(rows) <= LARGEST).all() and (np.abs(targets) <= LARGEST).all()
            tick = min(7, len(rows) - 1)
            np.testing.assert_allclose(rows[tick, : len(channels()) - len(LEAD)], _row(log, tick), rtol=1e-4, atol=1e-4)

    fuzz(attempt, cases=150)
