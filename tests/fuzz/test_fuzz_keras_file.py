"""Damaged `.keras` files, of Keras 2 and of Keras 3: every weight is a file's, or one line says what is wrong."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from damage import damaged_bytes, damaged_json, pick

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput
from tfmo_drive.keras3 import exported, rebuilt
from tfmo_drive.networks import own_model
from tfmo_drive.networks.model_code import refuse_code

CASES = 40
SAVE = """
import keras, sys
inputs = keras.Input((3,))
x = keras.layers.Dense(5, activation="relu6", name="dense")(inputs)
keras.Model(inputs, keras.layers.Dense(2, name="logits")(x * 2.0)).save(sys.argv[1])
"""


def _damaged(random: np.random.Generator, data: bytes) -> bytes:
    """The file after an accident to its bytes, or with one member lost, renamed, doubled or changed inside."""
    kind = int(random.integers(6))
    if kind == 0:
        return damaged_bytes(random, data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = pick(random, sorted(members))
    if kind == 1:
        del members[name]
    elif kind == 2:
        members[pick(random, ("../../x", "x" * 300, "assets/x"))] = members.pop(name)
    elif kind == 3:
        members[name] = damaged_bytes(random, members[name])
    elif kind == 4:
        name = pick(random, ("config.json", "config.json", "metadata.json"))
        members[name] = json.dumps(damaged_json(random, json.loads(members[name]), 1)).encode()
    else:
        members["model.weights.h5"] = _other_weights(random, members["model.weights.h5"])
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, held in members.items():
            archive.writestr(name, held)
    return stream.getvalue()


def _other_weights(random: np.random.Generator, data: bytes) -> bytes:
    stream = io.BytesIO(data)
    with h5py.File(stream, "r+") as file:
        places = []
        file.visititems(lambda _, one: places.append(one) if isinstance(one, h5py.Dataset) else None)
        place = pick(random, places)
        above, name, values = place.parent, place.name, place[()]
        del above[name]
        above[name] = pick(random, (values.T, values[:1], values * np.nan, values.astype("f2"), np.array([b"x"])))
    return stream.getvalue()


def _stored(path: Path) -> list[np.ndarray]:
    """All weights in the file, whatever their order, each as a row of sorted numbers."""
    found = []
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(lambda _, one: found.append(one[()]) if isinstance(one, h5py.Dataset) else None)
    return found


def _assert_of_the_file(model: keras.Model, path: Path) -> None:
    stored = [one.astype(np.float32) for one in _stored(path) if one.dtype.kind == "f"]
    for ours in model.get_weights():
        assert any(ours.shape == theirs.shape and np.array_equal(ours, theirs) for theirs in stored)


def test_damaged_files_of_keras_2_are_read_right_or_refused(fuzz, tmp_path):
    inputs = keras.Input((3,))
    x = keras.layers.Dense(5, activation="relu", name="dense")(inputs)
    keras.Model(inputs, keras.layers.Dense(2, name="logits")(x)).save(tmp_path / "sound.keras")
    data = (tmp_path / "sound.keras").read_bytes()
    ends = own_model.Signature((3,), {"logits": (2,)})

    def attempt(case):
        path = case.folder / "given.keras"
        path.write_bytes(_damaged(case.random, data))
        if model := case.read(path, lambda: own_model.is_whole_model(path) and own_model.read_model(path, ends)):
            _assert_of_the_file(model, path)

    fuzz(attempt, cases=25)


@pytest.fixture
def damaged(tmp_path) -> list[Path]:
    """Files of Keras 3, each damaged in its own way."""
    sound = tmp_path / "sound.keras"
    subprocess.run([sys.executable, "-I", "-c", SAVE, str(sound)], check=True, capture_output=True)
    paths = [tmp_path / f"given_{number}.keras" for number in range(CASES)]
    for number, path in enumerate(paths):
        path.write_bytes(_damaged(np.random.default_rng(number), sound.read_bytes()))
    return paths


def test_damaged_files_of_keras_3_are_read_right_or_refused(damaged):
    """One process of Keras 3 reads all that are not refused before it: no case may take it down."""
    refused, open_cases = {}, []
    for path in damaged:
        try:
            own_model.is_whole_model(path)
            refuse_code(path, "task.baseline")
            open_cases.append((path, path.with_suffix("")))
            path.with_suffix("").mkdir()
        except BadInput as error:
            refused[path] = str(error)
    taken = 0
    for (path, folder), why in zip(open_cases, exported.export_all(open_cases), strict=True):
        subject = f"task.baseline: {path}"
        try:
            model = None if why else rebuilt.rebuilt(exported._read(folder), subject)
        except BadInput as error:
            why, model = str(error), None
        if model is None:
            refused[path] = why
        else:
            _assert_of_the_file(model, path)
            taken += 1
    assert all(why and why.isprintable() for why in refused.values()), refused
    assert taken >= 3 and len(refused) >= 10 and taken + len(refused) == CASES
