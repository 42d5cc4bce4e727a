"""Damaged donkeycar tubs: every record that was not deleted is a frame with its own angle, or a slip is named."""

import json
import math

import numpy as np
import pytest
from damage import damaged_bytes, damaged_json, damaged_text, pick

from tfmo_drive.data.layouts.steering_log import list_log
from tfmo_drive.data.splitting import SPLITS

COUNT = 40
NAMES = [f"{number}_cam_image_array_.jpg" for number in range(COUNT)]
SECONDS = 1.0
"""Between two frames."""


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """A folder with the images of all cases, which are never opened."""
    folder = tmp_path_factory.mktemp("pool")
    for name in NAMES:
        (folder / name).write_bytes(b"")
    return folder


def _tub(random: np.random.Generator) -> tuple[list[dict], list]:
    """The records, and the lines of the manifest."""
    records = [
        {"_index": number, "_session_id": "26-01-01_0", "_timestamp_ms": int(1e12 + 1000 * SECONDS * number),
         "cam/image_array": name, "user/angle": float(random.uniform(-1, 1)), "user/mode": "user",
         "user/throttle": float(random.uniform(-1, 1))}
        for number, name in enumerate(NAMES)
    ]  # fmt: skip
    deleted = sorted(random.choice(COUNT, int(random.integers(4)), replace=False).tolist())
    facts = {"paths": ["catalog_0.catalog", "catalog_1.catalog"], "current_index": COUNT, "max_len": 20,
             "deleted_indexes": deleted}  # fmt: skip
    return records, [["cam/image_array", "user/angle"], ["image_array", "float"], {}, {"created_at": 1.0}, facts]


def _write(case, records: list[dict], manifest: list) -> None:
    """Writes the tub with one accident: to a value of its JSON, or to the bytes or letters of one of its files."""
    random, kind = case.random, case.random.integers(6)
    if kind == 0:
        place = int(random.integers(COUNT))
        records[place] = damaged_json(random, records[place], most=2)
    elif kind == 1:
        manifest[-1] = damaged_json(random, manifest[-1], most=2)
    for place in range(2):
        rows = records[20 * place : 20 * place + 20]
        (case.folder / f"catalog_{place}.catalog").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (case.folder / "manifest.json").write_text("".join(json.dumps(line) + "\n" for line in manifest))
    if kind in (2, 3, 4):
        path = case.folder / pick(random, ("catalog_0.catalog", "catalog_1.catalog", "manifest.json"))
        text = path.read_text()
        if kind == 2:
            path.write_bytes(damaged_bytes(random, text.encode(), most=1))
        else:
            path.write_bytes(damaged_text(random, text, most=1).encode("utf-8", "surrogatepass"))


def _write_first(case, records: list[dict], deleted: list) -> None:
    """Writes a tub of version 1 with one accident, to a value or to the bytes or letters of one of its files."""
    random, kind = case.random, case.random.integers(5)
    for number, record in enumerate(records):
        del record["_index"], record["_session_id"]
        record["milliseconds"] = record.pop("_timestamp_ms") - int(1e12)
        if kind == 0 and random.random() < 1 / COUNT:
            records[number] = record = damaged_json(random, record, most=2)
        (case.folder / f"record_{number}.json").write_text(json.dumps(record))
    if kind == 1:
        deleted = damaged_json(random, deleted, most=2)
    (case.folder / "exclude.json").write_text(json.dumps(deleted))
    path = case.folder / pick(random, (f"record_{random.integers(COUNT)}.json", "exclude.json"))
    if kind == 2:
        path.write_bytes(damaged_bytes(random, path.read_bytes(), most=1))
    elif kind == 3:
        path.write_bytes(damaged_text(random, path.read_text(), most=1).encode("utf-8", "surrogatepass"))
    elif kind == 4:
        path.unlink()


def _expected_first(folder) -> dict[str, float]:
    gone = json.loads(_text(folder / "exclude.json")) if (folder / "exclude.json").exists() else []
    numbers = [int(path.stem[7:]) for path in folder.glob("record_*.json")]
    records = [json.loads(_text(folder / f"record_{number}.json")) for number in numbers if number not in gone]
    names = [record["cam/image_array"].replace("\\", "/").rpartition("/")[2] for record in records]
    assert len(set(names)) == len(names)
    return {name: float(record["user/angle"]) for name, record in zip(names, records, strict=True)}


def _expected(folder) -> dict[str, float]:
    """{image: angle}, line by line with Python's own reader."""
    facts = json.loads(_lines(folder / "manifest.json")[-1])
    records = [json.loads(line) for name in facts["paths"] for line in _lines(folder / name)]
    kept = [record for record in records if record.get("_index") not in facts["deleted_indexes"]]
    names = [record["cam/image_array"].replace("\\", "/").rpartition("/")[2] for record in kept]
    assert len(set(names)) == len(names)
    assert all(type(record["user/angle"]) in (int, float) for record in kept)
    return dict(zip(names, [float(record["user/angle"]) for record in kept], strict=True))


def _lines(path) -> list[str]:
    return [line for line in _text(path).split("\n") if line.strip()]


def _text(path) -> str:
    return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def test_damaged_tubs_are_read_right_or_refused(fuzz, pool):
    def attempt(case):
        (case.folder / "images").symlink_to(pool)
        records, manifest = _tub(case.random)
        first = case.random.random() < 0.3
        if first:
            _write_first(case, records, manifest[-1]["deleted_indexes"])
        else:
            _write(case, records, manifest)
        listing = case.read(case.folder, lambda: list_log(case.folder))
        if listing is None:
            return
        found = {}
        for split in SPLITS:
            for file, steering in zip(listing[split].files, listing[split].labels[:, 0].tolist(), strict=True):
                assert file.name not in found
                found[file.name] = steering
        expected = (_expected_first if first else _expected)(case.folder)
        assert found.keys() == expected.keys()
        assert all(math.isclose(found[name], expected[name], rel_tol=1e-6, abs_tol=1e-9) for name in found)
        assert all(abs(steering) <= 1 for steering in found.values())

    fuzz(attempt, cases=200)
