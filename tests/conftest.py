"""What many tests share: one tiny task, one tiny baseline, and every step run once for each of its settings.

Importing TensorFlow (9 s) and tracing cost more than the arithmetic, so results are kept for the session.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

SLOW = (
    "contract/", "fuzz/", "steps/", "targets/", "tasks/", "training/", "networks/", "surgery/", "pack/",
    "flow/", "keras3/", "conversion/test_trials.py",
    "commands/ledger/", "commands/lint/test_lint_command.py", "commands/sensitivity/", "commands/test_verbs.py",
    "commands/test_plan.py", "base/test_finite.py", "test_bad_input.py", "test_flow.py", "test_library.py",
    "test_two_inputs.py",
    "test_library_examples.py", "test_quickstart.py", "test_readme.py", "test_contributing.py",
)  # fmt: skip
"""Tests that train, convert or start whole commands, below this folder; `make test-fast` leaves them out."""


LONGEST = (
    "test_flow.py", "contract/test_order.py", "contract/test_worth.py", "conversion/test_trials.py",
    "contract/test_steps.py", "keras3/", "test_library.py", "training/test_trained_step.py",
    "contract/test_quantised_tasks.py", "test_bad_input.py",
)  # fmt: skip
"""The longest files, which begin: of two processes, one would wait for them at the end (with the Makefile's flags)."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first, and marks the slow ones."""
    names = {item: item.path.relative_to(Path(__file__).parent).as_posix() for item in items}
    items.sort(key=lambda item: [not names[item].startswith(one) for one in LONGEST])
    for item, name in names.items():
        if name.startswith(SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Decoded images of this session lie in a folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("TFMO_DRIVE_CACHE", str(folder))
        yield folder


@pytest.fixture
def brief_timing(monkeypatch):
    """Lets the default measure of latency take a tenth of a second a row, where no test looks at what it says."""
    from tfmo_drive.experiment import MEASURES

    timed = next(measure for measure in MEASURES if measure.timed)
    monkeypatch.setitem(vars(timed), "seconds", 0.1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and weights: $TFMO_DRIVE_SHARED, or ../shared beside the checkout."""
    folder = Path(os.environ.get("TFMO_DRIVE_SHARED") or Path(__file__).parents[2] / "shared").resolve()
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data at {folder} (set TFMO_DRIVE_SHARED to the folder that holds data/ and weights/)")
    return folder


@pytest.fixture(scope="session")
def tiny_task(cache):
    """9 classes of built-in scenes at 32 px, and a ResNet of one block."""
    from tfmo_drive.networks.backbones import ResNet
    from tfmo_drive.tasks.classification import Classification, Scenes

    network = ResNet(blocks=(1,), width=0.25)
    return Classification(image_size=32, network=network, scenes=Scenes(train=256, val=64, test=64))


@pytest.fixture(scope="session")
def tiny_baseline(tiny_task, tmp_path_factory):
    """Trained until it is clearly above chance (0.11). Nobody may change its weights: copy first."""
    from tfmo_drive.base.keras2 import keras
    from tfmo_drive.contracts import Context
    from tfmo_drive.steps.train import Train
    from tfmo_drive.training import scoring

    keras.utils.set_random_seed(0)
    model = tiny_task.build()
    context = Context(tiny_task, model, (), tmp_path_factory.mktemp("baseline"), 0)
    model = Train(epochs=8, learning_rate=0.05, batch_size=32)(model, context)
    assert scoring.score(model, tiny_task, "train") > 0.4
    return model


@pytest.fixture(scope="session")
def streets(cache):
    """What makes a task on whole frames tiny: built-in frames of 64 x 96 px, and a ResNet of one block."""
    from tfmo_drive.networks.backbones import ResNet
    from tfmo_drive.scenes.frames import Frames

    network = ResNet(blocks=(1,), width=0.25)
    return {"image_size": (64, 96), "network": network, "scenes": Frames(train=32, val=16, test=16)}


@pytest.fixture(scope="session")
def detector(streets, tmp_path_factory):
    """detector() -> a Context of a tiny Detection in a fresh folder. Its baseline is untrained, but as alive as a
    trained one: no branch is switched off, and BatchNorms have seen frames. Nobody may change it."""
    import numpy as np

    from tfmo_drive.base.keras2 import keras
    from tfmo_drive.contracts import Context
    from tfmo_drive.tasks.detection.detection import Detection

    task = Detection(channels=8, **streets)
    keras.utils.set_random_seed(0)
    model = task.build()
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma.assign(generator.uniform(0.5, 1.5, layer.gamma.shape))
        elif getattr(layer, "bias", None) is not None:
            # Equal biases of a quantize-aware layer are all converted with the first one's scale (TensorFlow 2.21).
            layer.bias.assign_add(generator.normal(0, 0.2, layer.bias.shape))
    pixels = task.preprocessing(task.examples("train").read(np.arange(16))[0])
    for _ in range(20):
        model(pixels, training=True)
    return lambda: Context(task, model, (), tmp_path_factory.mktemp("detector"), 0)


@pytest.fixture(scope="session")
def small_cnn(tiny_task):
    """Two convolutions with BatchNorm and two dense layers, untrained: traced in a third of the time."""
    from tfmo_drive.base.keras2 import keras
    from tfmo_drive.networks.backbones import SmallCNN
    from tfmo_drive.networks.networks import Head, build

    keras.utils.set_random_seed(0)
    return build(SmallCNN(filters=(4, 8), head=Head(units=8)), tiny_task.image_size, len(tiny_task.class_names))


@pytest.fixture(scope="session")
def context(tiny_task, tiny_baseline, tmp_path_factory):
    """context() -> a Context of the tiny task in a fresh folder; context(seed=1), ... to change it."""
    from tfmo_drive.contracts import Context

    def make(**changes) -> Context:
        facts = {"baseline": tiny_baseline, "workdir": tmp_path_factory.mktemp("work"), "seed": 0} | changes
        return Context(tiny_task, targets=(), **facts)

    return make


@pytest.fixture(scope="session")
def finished(context, tiny_baseline):
    """finished(step) -> what the step makes of the tiny baseline; run once, so nobody may change it."""
    return functools.cache(lambda step: step(tiny_baseline, context()))
