"""Damaged driving logs: every frame is listed once with the steering that stands there, or a slip is named."""

import csv
import math

import pytest
from damage import mostly_damaged, pick, text_in

from tfmo_drive.data.layouts.steering_log import CLASSIC, list_log
from tfmo_drive.data.splitting import SPLITS

COUNT = 40
NAMES = [f"center_2018_07_16_17_00_{second:02}_000.jpg" for second in range(COUNT)]


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """A folder with the images of all cases, which are never opened."""
    folder = tmp_path_factory.mktemp("pool")
    for name in NAMES:
        (folder / name).write_bytes(b"")
    return folder


def _log(random) -> str:
    steering = [f"{random.uniform(-1, 1):.7g}" for _ in NAMES]
    if random.random() < 0.5:  # the simulator's own: no header
        place = pick(random, ("IMG/", "C:\\me\\IMG\\", "/home" + "/me/IMG/", ""))
        rest = [f" l.jpg, r.jpg, {angle}, 0.5, 0, 30.1" for angle in steering]
        rows = [f"{place}{name},{cells}" for name, cells in zip(NAMES, rest, strict=True)]
    else:
        rows = [f"{name};{angle};7" for name, angle in zip(NAMES, steering, strict=True)]
        rows.insert(0, "image;Steering Angle;speed")
    return pick(random, ("\n", "\r\n")).join(rows) + "\n"


def _expected(text: str) -> dict[str, float]:
    """{name: steering}, line by line, with Python's own reader."""
    lines = [line for line in text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    lines = [line for line in lines if line.strip(" ,;\t")]
    separator = max(",;\t", key=lines[0].count)
    rows = [next(csv.reader([line], delimiter=separator, skipinitialspace=True)) for line in lines]
    columns = [0, CLASSIC.index("steering")] if len(rows[0]) == len(CLASSIC) else [0, 1]
    rows = rows if len(rows[0]) == len(CLASSIC) else rows[1:]
    names = [row[columns[0]].strip().replace("\\", "/").rstrip("/").rpartition("/")[2] for row in rows]
    assert len(set(names)) == len(names)
    return dict(zip(names, [float(row[columns[1]]) for row in rows], strict=True))


def test_damaged_logs_are_read_right_or_refused(fuzz, pool):
    def attempt(case):
        path, text = case.folder / "driving_log.csv", _log(case.random)
        (case.folder / "IMG").symlink_to(pool)
        path.write_bytes(mostly_damaged(case.random, text, most=1))
        listing = case.read(path, lambda: list_log(path))
        if listing is None:
            return
        found = {}
        for split in SPLITS:
            for file, steering in zip(listing[split].files, listing[split].labels[:, 0].tolist(), strict=True):
                assert file.name not in found
                found[file.name] = steering
        expected = _expected(text_in(path.read_bytes()))
        assert found.keys() == expected.keys()
        assert all(math.isclose(found[name], expected[name], rel_tol=1e-6, abs_tol=1e-9) for name in found)
        assert all(abs(steering) <= 1 for steering in found.values())

    fuzz(attempt, cases=300)
