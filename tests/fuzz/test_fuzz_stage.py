"""Damaged stages and progress of a run: taken as they were made, begun again, or told in one line."""

import json
import os
import shutil

import numpy as np
import pytest
from damage import damaged_bytes, damaged_json, damaged_text, pick

from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.run_folder import StageFolder, held, read_facts
from tfmo_drive.steps.train import Train
from tfmo_drive.training import trained_step

FACTS = {"keras_score": 0.5, "val_score": 0.5, "seconds": 1.0, "preprocessing": "unit", "labels": ["a", "b"],
         "skipped_layers": {"conv": "too small"}, "promise": "70 % zeros", "settings": {"kind": "Prune"}}  # fmt: skip
CURVES = {"epoch": [1, 2], "loss": [1.0, 0.5], "val_score": [0.1, 0.2], "seconds": [1.0, 1.0]}


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(keras.layers.Dense(5, name="hidden")(inputs)))


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    """A run folder with one finished stage."""
    folder = tmp_path_factory.mktemp("run")
    stage = StageFolder(folder / "stages" / "1_prune", "k")
    (stage.path / "curves.json").write_text(json.dumps(CURVES))
    stage.finish(model, FACTS)
    (folder / "experiment.json").write_text('{"experiment": "smoke", "settings": {}}')
    return folder


def _damage(random: np.random.Generator, stage) -> None:
    path = stage / pick(random, ("stage.json", "stage.json", "curves.json", "model.h5"))
    kind = int(random.integers(8)) if path.is_file() else 6
    if kind < 3 and path.suffix == ".json":
        value = damaged_json(random, json.loads(path.read_text()))
        text = json.dumps(value)
        path.write_bytes((damaged_text(random, text) if kind == 2 else text).encode("utf-8", "surrogatepass"))
    elif kind < 5:
        path.write_bytes(damaged_bytes(random, path.read_bytes(), 2))
    elif kind == 5:
        path.unlink()
        if random.random() < 0.5:
            pick(random, (os.mkfifo, os.mkdir, lambda place: os.symlink("nowhere", place)))(path)
    elif kind == 6:
        (stage / pick(random, ("notes.txt", ".draft.tmp", "model.h5.old", "train"))).write_text("mine")
    else:
        facts = json.loads(path.read_text()) if path.name == "stage.json" else {}
        facts.pop("sha256", None)
        if facts:
            path.write_text(json.dumps(facts))


def test_damaged_stages_are_taken_as_they_were_or_told(fuzz, run, model):
    weights = model.get_weights()
    other = keras.models.clone_model(model)

    def attempt(case):
        folder = case.folder / "run"
        shutil.copytree(run, folder)
        path = folder / "stages" / "1_prune"
        for _ in range(int(case.random.integers(1, 3))):
            try:
                _damage(case.random, path)
            except (OSError, ValueError):
                continue
        mine = [place for place in path.iterdir() if place.name in ("notes.txt", ".draft.tmp", "model.h5.old")]
        key = pick(case.random, ("k", "k", "k", "other"))

        def reader():
            with held(folder):
                stage = StageFolder(path, key)
                curves = stage.curves()
                if stage.finished:
                    with stage.read():
                        other.load_weights(str(stage.weights))
                return stage, curves

        found = case.read(path, reader)
        assert all(place.read_text() == "mine" for place in mine), "somebody's files are gone"
        if found is None:
            return
        stage, curves = found
        assert stage.facts == read_facts(path) and stage.facts["key"] == key
        assert set(curves) <= set(CURVES) or stage.finished
        if stage.finished:
            assert key == "k"
            for ours, wanted in zip(other.get_weights(), weights, strict=True):
                np.testing.assert_array_equal(ours, wanted)
        else:  # nothing says that it was
            assert not stage.facts.get("finished") and "sha256" not in stage.facts

    fuzz(attempt, cases=80)


@pytest.fixture(scope="module")
def loop(tiny_task, context):
    """A training loop of one epoch, with its progress saved."""
    inputs = keras.Input((32, 32, 3))
    hidden = keras.layers.GlobalAveragePooling2D()(inputs)
    small = keras.Model(inputs, keras.layers.Dense(9, name="logits")(hidden))
    made = trained_step._Loop(small, Train(epochs=2, batch_size=64), context(), trained_step.Hooks())
    values = {"epoch": 1, "loss": 1.0, "val_score": 0.5, "learning_rate": 0.1, "seconds": 1.0}
    made.curves = {name: [value] for name, value in values.items()}
    made.keep(0, 0.5)
    made.save()
    return made


def test_damaged_progress_is_gone_on_from_as_it_was_or_begun_again(fuzz, loop):
    path = loop.folder / "progress.npz"
    good, curves = path.read_bytes(), loop.curves
    weights = [variable.numpy() for variable in loop.variables]
    with np.load(path) as file:
        arrays = dict(file)

    def attempt(case):
        for variable in loop.variables:
            variable.assign(variable.numpy() * 0 + 7)
        if case.random.random() < 0.5:
            path.write_bytes(damaged_bytes(case.random, good))
            whole = False
        else:
            changed = dict(arrays)
            name = pick(case.random, sorted(changed))
            one = changed.pop(name)
            wrong = (None, one, one[..., None], np.zeros(3), np.array("{}"), np.array(b"x"), one.astype("U99"))
            value = pick(case.random, wrong)
            whole = value is one
            np.savez(path, **changed, **({} if value is None else {name: value}))
        done = loop.restore()
        case.refused = done == 0
        if done:
            assert done == 1 and loop.curves == curves
            for variable, wanted in zip(loop.variables, weights, strict=True):
                np.testing.assert_array_equal(variable.numpy(), wanted)
        else:
            assert all((variable.numpy() == 7).all() for variable in loop.variables), "half of it was taken"
            assert not whole

    fuzz(attempt, cases=60)
