"""Damaged .h5 weights and models: every weight is the file's, or one line says what does not fit."""

import copy
import io
import json

import h5py
import numpy as np
import pytest
from damage import VALUES, damaged_bytes, damaged_json, pick

from tfmo_drive.base.keras2 import keras
from tfmo_drive.networks import networks, own_model

ENDS = own_model.Signature((3,), {networks.LOGITS: (2,)})


def _network() -> keras.Model:
    return networks.build(networks.DenseLayers(units=(5,)), 3, 2)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("h5")
    model = _network()
    model.save_weights(folder / "weights.h5")
    model.save(folder / "model.h5", include_optimizer=False)
    return {path.stem: path.read_bytes() for path in folder.iterdir()}


def _changed(random: np.random.Generator, data: bytes) -> bytes:
    """The file with one attribute or data set lost, or of another type, shape or value."""
    stream = io.BytesIO(data)
    with h5py.File(stream, "r+") as file:
        places = [file]
        file.visititems(lambda _, one: places.append(one))
        place = pick(random, places)
        if len(place.attrs) and random.random() < 0.6:
            name = pick(random, list(place.attrs))
            value = place.attrs[name]
            if name == "model_config" and random.random() < 0.8:
                value = json.dumps(damaged_json(random, copy.deepcopy(json.loads(value)), 1))
            else:
                some = np.atleast_1d(value.encode() if isinstance(value, str) else value)  # HDF5 holds no "U"
                value = pick(random, (some[:1], some[::-1], 1.5, b"\xff\xfe", "", "3.0", np.array([b"x"])))
            place.attrs[name] = value
        elif isinstance(place, h5py.Dataset):
            above, name, values = place.parent, place.name, place[()]
            del above[name]
            kind = pick(random, ("f8", "f2", "i4", "S3", "none"))
            if kind != "none":
                above[name] = pick(
                    random, (values.T, values[:1], values * np.nan, values.astype(kind), values[..., None])
                )
        elif place is not file:
            above, name = place.parent, place.name
            above[f"{name}_x"] = h5py.SoftLink("/nowhere")
            del above[name]
        else:
            place[str(pick(random, VALUES))[:20].replace("\0", "").replace("\ud800", "") or "x"] = 1
    return stream.getvalue()


def _stored(path) -> list[np.ndarray]:
    """Every weight in the file's own order of layers and weights."""
    with h5py.File(path) as file:
        root = file["model_weights"] if "model_weights" in file else file
        groups = [root[layer] for layer in root.attrs["layer_names"]]
        return [np.asarray(group[name]) for group in groups for name in group.attrs["weight_names"]]


def test_damaged_weights_are_read_right_or_refused(fuzz, files):
    def read(path):
        keras.backend.clear_session()
        if own_model.is_whole_model(path):
            return own_model.read_model(path, ENDS)
        model = _network()
        networks.load_weights(model, path, "task.baseline")
        return model

    def attempt(case):
        path, data = case.folder / "given.h5", files[pick(case.random, ("weights", "model"))]
        damage = damaged_bytes if case.random.random() < 0.5 else _changed
        path.write_bytes(damage(case.random, data))
        model = case.read(path, lambda: read(path))
        for ours, theirs in zip(model.get_weights(), _stored(path), strict=True) if model else ():
            np.testing.assert_array_equal(ours, theirs.astype(np.float32))

    fuzz(attempt, cases=25)
