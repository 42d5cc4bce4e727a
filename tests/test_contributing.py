"""What CONTRIBUTING.md shows works: every Python example is executed and keeps its contract on a tiny model."""

from __future__ import annotations

import inspect
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.base.overrides import override
from tfmo_drive.boards.board import Board, named
from tfmo_drive.contracts import BadInput, Context, Measure, Step, Target, Task
from tfmo_drive.experiment import Experiment
from tfmo_drive.networks import layers
from tfmo_drive.pack import example
from tfmo_drive.runtimes import artifact_metadata
from tfmo_drive.steps.criteria import Criterion
from tfmo_drive.steps.prune import Prune
from tfmo_drive.targets.litert import LiteRTFloat32

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
KINDS = (Step, Criterion, Target, Measure, Board, Task)


def shown(number: int, source: str) -> list:
    """What an example defines, executed as a module of its own: classes, functions and a BOARD."""
    module = types.ModuleType(f"an_example_{number}")
    module.__file__ = str(ROOT / "CONTRIBUTING.md")
    sys.modules[module.__name__] = module
    exec(compile(source, module.__file__, "exec", dont_inherit=True), vars(module))
    own = [one for one in vars(module).values() if getattr(one, "__module__", "") == module.__name__]
    return own + [one for one in vars(module).values() if isinstance(one, Board)]


EXAMPLES = [one for number, source in enumerate(BLOCKS) for one in shown(number, source)]


def of_kind(kind: type) -> list:
    found = [one for one in EXAMPLES if isinstance(one, kind) or inspect.isclass(one) and issubclass(one, kind)]
    return [pytest.param(one, id=getattr(one, "__name__", "BOARD")) for one in found]


def test_every_kind_of_part_has_an_example_and_every_example_a_kind():
    assert all(of_kind(kind) for kind in KINDS) and len(BLOCKS) == len(KINDS) + 1
    others = [one for one in EXAMPLES if inspect.isfunction(one)]
    assert [one.__name__ for one in others] == ["list_text"]
    assert len(EXAMPLES) == len(others) + sum(len(of_kind(kind)) for kind in KINDS)


@pytest.mark.parametrize("kind", of_kind(Step))
def test_a_step_changes_a_copy_that_can_be_read_back(kind, small_cnn, tiny_task, context, tmp_path):
    before, step = [one.copy() for one in small_cnn.get_weights()], kind(deviations=1.0)
    made = step(small_cnn, context())
    for one, two in zip(before, small_cnn.get_weights(), strict=True):
        assert np.array_equal(one, two)
    for old, new in zip(layers.kernels(small_cnn), layers.kernels(made), strict=True):
        old, new = old.variable.numpy(), new.variable.numpy()
        assert np.abs(new).max() == pytest.approx(old.std(), rel=1e-5) and np.abs(old).max() > old.std()
    made.save_weights(str(tmp_path / "model.h5"))
    again = step.reload(small_cnn, tmp_path / "model.h5", context())
    for one, two in zip(made.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(one, two)
    step.check(made)
    assert Experiment(task=tiny_task, recipe=(Prune(), kind())).recipe[1].name == "clip_outliers"
    with pytest.raises(BadInput, match="must be above 0"):
        kind(deviations=0.0)


@pytest.mark.parametrize("kind", of_kind(Criterion))
def test_a_criterion_ranks_weights_and_can_be_chosen_by_name(kind, small_cnn, context):
    weights = {kernel.name: kernel.variable for kernel in layers.kernels(small_cnn)}
    scores = kind().scores(small_cnn, weights, context())
    assert all(scores[name].shape == one.shape and scores[name].min() >= 0 for name, one in weights.items())
    assert all(score.mean() == pytest.approx(1, rel=1e-4) for score in scores.values())
    step = override(Prune(sparsity=0.7, epochs=0, allocation="global"), [f"criterion={kind.__name__}"])
    assert step.criterion == kind()
    step.check(step(small_cnn, context()))


@pytest.mark.parametrize("kind", of_kind(Target))
def test_a_target_makes_a_file_that_answers_as_the_model_does(kind, small_cnn, tiny_task, context, tmp_path):
    artifact = kind()(small_cnn, tmp_path, context())
    raw = tiny_task.examples("test").read(np.arange(4))[0]
    wanted = small_cnn(tiny_task.preprocessing(raw), training=False).numpy()
    assert artifact.predict(raw) == pytest.approx(wanted, abs=0.02 * float(np.abs(wanted).max()))
    assert artifact.runner(raw[0], artifact.threads) is not None and kind().refuses(small_cnn) is None


@pytest.mark.parametrize("kind", of_kind(Measure))
def test_a_measure_adds_numbers_to_a_row(kind, small_cnn, context, tmp_path):
    artifact = LiteRTFloat32()(small_cnn, tmp_path, context())
    row = kind()(artifact, artifact, context())
    assert row and all(isinstance(value, int | float) for value in row.values())


@pytest.mark.parametrize("board", of_kind(Board))
def test_a_board_takes_15_lines_and_is_read_from_a_file_of_its_own(board, tmp_path):
    (source,) = [source for source in BLOCKS if "BOARD =" in source]
    assert len([line for line in source.split("\n") if line.strip()]) <= 15
    (tmp_path / "my_board.py").write_text(source)
    assert named(str(tmp_path / "my_board.py")) == board
    assert all(need.fits for need in board.needs({"size_bytes": 10**6, "activation_bytes": 10**6}))


@pytest.mark.parametrize("kind", of_kind(Task))
def test_a_task_counts_what_scenes_show_and_says_how_its_output_is_read(kind, streets, tmp_path):
    task = kind(**streets)
    numbers = task.examples("test").read(np.arange(16))[1]
    assert numbers.min() >= 0 and len(np.unique(numbers)) > 2 and np.array_equal(numbers, numbers.round())
    model = task.build()
    facts = task.metadata(model)
    right = ((numbers - facts["decode"]["offset"]) / facts["decode"]["scale"]).astype(np.float32)
    assert task.evaluate(right, numbers).score == pytest.approx(1, abs=1e-5)
    assert list(example.lines({"people": right[0]}, facts)) == [f"{numbers[0, 0]:.4g} people"]
    artifact = LiteRTFloat32()(model, tmp_path, Context(task, model, (), tmp_path, 0))
    assert artifact_metadata.read(artifact.path)["decode"] == facts["decode"]
    with pytest.raises(BadInput, match=r"must be in \(0, 1\]"):
        kind(visible=0.0)


def test_a_layout_lists_images_and_refuses_what_is_none(tmp_path):
    (list_text,) = [one for one in EXAMPLES if inspect.isfunction(one)]
    for number in range(12):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number}.png")
    path = tmp_path / "list.txt"
    path.write_text("".join(f"{number}.png {'stop' if number % 2 else 'go'}\n" for number in range(12)))
    listing = list_text(path)
    assert listing.class_names == ("go", "stop") and sum(len(listing[split]) for split in listing.splits) == 12
    path.write_text(path.read_text() + "12.png stop\n")
    with pytest.raises(BadInput, match="1 of 13 images are missing: 12.png"):
        list_text(path)
    assert sum(map(len, list_text(path, skip_bad=True).splits.values())) == 12
    path.write_text("1.png\n")
    with pytest.raises(BadInput, match="every line must be an image and its label"):
        list_text(path)


def test_folders_and_commands_that_the_page_names_are_there():
    for name in set(re.findall(r"`((?:tfmo_drive|tests|experiments|data|base|training|surgery)/[\w/.]+)`", PAGE)):
        assert (ROOT / name).exists() or (ROOT / "tfmo_drive" / name).exists(), name
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z-]+)", PAGE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    rooms = {name.strip("/") for name in re.findall(r"`(\w+/)`", PAGE.split("## Contracts")[0])}
    assert {path.parent.name for path in (ROOT / "tfmo_drive").glob("*/__init__.py")} <= rooms
