"""A run whose int8 file would lose what two untrained steps give back is refused with these steps, which then work."""

from __future__ import annotations

import functools
import re

import numpy as np
import pytest

import tfmo_drive as td
from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.overrides import override
from tfmo_drive.contracts import BadInput
from tfmo_drive.tasks.arrays.array_task import ArrayTask

layers = keras.layers


@functools.cache
def network(gains: tuple[float, ...], pooled: bool = False, late: bool = False) -> keras.Model:
    """Says whether an image is rather red or rather green, however its first BatchNorm spreads its channels.

    With `late`, another one, which nothing can take in, spreads channels that nobody reads.
    """
    gains = np.array(gains)
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 1, activation="relu", name="seeing")(image)
    x = layers.BatchNormalization(name="norm", epsilon=1e-12)(x)
    if late:
        x = layers.Conv2D(8, 1, activation="relu", name="again")(x)
        x = layers.BatchNormalization(name="late", epsilon=1e-12)(x)
    x = layers.AveragePooling2D()(x) if pooled or late else x
    x = layers.Conv2D(2, 1, name="telling")(x)
    model = keras.Model(image, layers.Dense(2, name="saying")(layers.GlobalAveragePooling2D()(x)))
    colours = np.eye(3)[np.arange(8) % 3].T.reshape(1, 1, 3, 8) / 255
    read = np.eye(3)[:, :2][np.arange(8) % 3].reshape(1, 1, 8, 2)
    model.get_layer("seeing").set_weights([colours / gains, np.zeros(8)])
    model.get_layer("norm").set_weights([np.ones(8), np.zeros(8), np.zeros(8), 1 / gains**2 / 1e4])
    if late:
        unread = np.array([1e-4] * 5 + [1.0] * 3)  # of the others, one sees each colour
        model.get_layer("again").set_weights([np.eye(8).reshape(1, 1, 8, 8), np.zeros(8)])
        model.get_layer("late").set_weights([np.ones(8), np.zeros(8), np.zeros(8), 1 / unread**2])
        read = read * (unread == 1).reshape(1, 1, 8, 1)
    model.get_layer("telling").set_weights([read / 1e2, np.zeros(2)])
    model.get_layer("saying").set_weights([np.eye(2) * 10, np.zeros(2)])
    return model


SPREAD = (*[1e-3] * 7, 1.0)


@pytest.fixture(scope="module")
def data():
    random, labels = np.random.default_rng(0), np.arange(48) % 2
    images = random.integers(0, 200, (48, 8, 8, 3))
    images[np.arange(48), :, :, labels] += 40
    images = images.astype(np.uint8)
    return td.arrays(train=(images, labels), val=(images[:16], labels[:16]), test=(images[16:], labels[16:]))


@pytest.fixture
def run(data, tmp_path):
    def run(gains=SPREAD, expect=td.Expect(target="litert_int8"), settings=(), trained=True, **more):  # noqa: B008
        task = ArrayTask(arrays=data, model=network(gains, **more), trained=trained)
        targets = (td.LiteRTFloat32(), td.LiteRTInt8())
        still = td.Train(epochs=1, learning_rate=1e-9)
        whole = td.Experiment(task=task, targets=targets, expect=expect, measures=(td.Accuracy(),), training=still)
        whole = override(whole, settings)
        rows = td.Run(name="mine", experiment=whole, workdir=run.folder).report()["rows"]
        return {row["name"]: row["score"] for row in rows}

    run.folder = tmp_path / "run"
    return run


@pytest.mark.slow
@pytest.mark.parametrize(("made", "steps"), [
    ({}, "FoldBatchNorm,Equalize"), ({"pooled": True}, "QuantizeAware"), ({"late": True}, "FoldBatchNorm,Equalize"),
], ids=lambda one: str(one))  # fmt: skip
def test_what_the_refusal_says_to_type_gives_the_score_back(made, steps, run):
    """Behind the BatchNorm is a convolution that takes it in, or pooling, through which it is not folded.

    A later one, of channels that do no harm, is there in what was typed too.
    """
    with pytest.raises(
        BadInput, match="baseline/litert_int8: of .* int8 would lose 0.* the gains of (norm|late) go"
    ) as said:
        run(**made)
    assert not run.folder.exists()  # a given model's refused run has made nothing worth keeping
    asked = re.search(r"\(--set=(.*)\): nothing is lost then", str(said.value))[1]
    assert asked == f"recipe+={steps}"
    scores = run(**made, settings=[asked])
    assert scores["mine/litert_int8"] == scores["baseline/litert_float32"] == 1 > scores["baseline/litert_int8"] + 0.2


@pytest.mark.slow
@pytest.mark.parametrize("given", [
    {"gains": (1.0,) * 8}, {"expect": td.Expect(target="litert_float32")},
], ids=["gains alike", "another row is judged"])  # fmt: skip
def test_nothing_else_is_refused(run, given):
    assert run(**given)["baseline/litert_float32"] == 1


@pytest.mark.slow
def test_what_was_trained_before_the_refusal_serves_the_corrected_run(run):
    """Nothing is there of rows and reports; a second refusal leaves the folder as it is, down to experiment.json."""

    def files():
        return {path.name: path.stat().st_mtime_ns for path in run.folder.rglob("*") if path.name[0] not in ".l"}

    with pytest.raises(BadInput, match="int8 would lose"):
        run(trained=False)
    before = files()
    assert {"experiment.json", "model.h5", "stage.json"} <= before.keys()
    assert not {"report.json", "artifacts"} & before.keys()
    with pytest.raises(BadInput, match="int8 would lose"):
        run(trained=False, settings=["expect.score_drop=0.5"])
    assert files() == before
    assert run(trained=False, settings=["recipe+=FoldBatchNorm,Equalize"])["mine/litert_int8"] == 1
    assert files()["model.h5"] == before["model.h5"]
