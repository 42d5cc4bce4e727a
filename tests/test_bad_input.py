"""Bad input: one line that says what to do, exit code 1, nothing half-written. Through the command line's own main."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from tfmo_drive.commands import board_pack, export, run
from tfmo_drive.commands.command_line import guarded

TINY = ("task.image_size=32", "task.network.blocks=1", "task.network.width=0.25")


@pytest.fixture
def command(tmp_path, capsys, monkeypatch):
    """Run `tfmo-drive run`, or another verb, in this process; (exit code, what it wrote to stderr)."""
    monkeypatch.chdir(Path(run.__file__).parents[2])

    def call(experiment="smoke", settings=TINY, workdir=None, verb=run, **given):
        given |= {"experiment": experiment, "set": list(settings), "workdir": str(workdir or tmp_path / "run")}
        with flagsaver.flagsaver(**given):
            if not flags.FLAGS.is_parsed():
                flags.FLAGS(["tfmo-drive"])
            folder = Path(flags.FLAGS.workdir)
            fresh = not folder.exists()
            code = guarded(verb.main)(["tfmo-drive"])
        left = fresh and folder.exists() and not (folder / "stages").exists()
        assert not (code and left), f"a refused start left {sorted(folder.iterdir())}"
        return code, capsys.readouterr().err

    return call


@pytest.fixture
def folder(tmp_path):
    """Two classes of twelve small images each, unsplit."""
    generator = np.random.default_rng(0)
    for label in ("stop", "yield"):
        (tmp_path / "signs" / label).mkdir(parents=True)
        for index in range(12):
            pixels = generator.integers(0, 255, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "signs" / label / f"{index:02}.png")
    return tmp_path / "signs"


def _refused(result, workdir: Path, *words: str):
    code, errors = result
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert code == 1
    assert len(lines) == 1, errors
    for word in words:
        assert word in lines[0]
    assert not (workdir / "report.json").exists()
    assert not (workdir / "artifacts").exists()
    assert not [path for path in workdir.rglob("*.tmp*")] if workdir.exists() else True


def test_missing_data_folder_is_named(command, tmp_path):
    _refused(command(data=str(tmp_path / "nowhere")), tmp_path / "run", "nowhere", "folder of classes")


def test_empty_data_folder_is_named(command, tmp_path):
    (tmp_path / "empty").mkdir()
    refused = command(data=str(tmp_path / "empty"))
    _refused(refused, tmp_path / "run", "No images in folders of classes under", "one folder per class")


def test_truncated_images_are_counted_and_named(command, folder, tmp_path):
    broken = folder / "stop" / "03.png"
    broken.write_bytes(broken.read_bytes()[:60])
    result = command(data=str(folder))
    _refused(result, tmp_path / "run", "1 of ", "03.png", "--set=task.skip_bad=True")


def test_class_absent_from_train_is_named(command, folder, tmp_path):
    table = tmp_path / "list.csv"
    rows = [f"signs/stop/{i:02}.png,0,{split}" for i, split in enumerate(["train"] * 6 + ["val"] * 3 + ["test"] * 3)]
    rows += [f"signs/yield/{i:02}.png,1,{split}" for i, split in enumerate(["val"] * 6 + ["test"] * 6)]
    table.write_text("\n".join(["file,label,split", *rows]) + "\n")
    (tmp_path / "classes.txt").write_text("stop\nyield\n")
    _refused(command(data=str(table)), tmp_path / "run", "yield", "train")


def test_labels_out_of_range_are_told(command, folder, tmp_path):
    table = tmp_path / "list.csv"
    rows = [f"signs/stop/{i:02}.png,{7 if i == 5 else 0},train" for i in range(12)]
    table.write_text("\n".join(["file,label,split", *rows]) + "\n")
    (tmp_path / "classes.txt").write_text("stop\nyield\n")
    _refused(command(data=str(table)), tmp_path / "run", "7")


def test_weights_of_another_shape_are_refused(command, tmp_path, tiny_baseline):
    tiny_baseline.save_weights(tmp_path / "other.h5")
    settings = (*TINY[:2], "task.network.width=0.5")
    result = command(settings=settings, weights=str(tmp_path / "other.h5"))
    _refused(result, tmp_path / "run", "task.baseline", "does not fit")


@pytest.mark.parametrize("content", [b"", b"these are not weights"])
def test_baseline_that_is_not_a_model_is_refused(command, tmp_path, content):
    (tmp_path / "fake.h5").write_bytes(content)
    _refused(command(weights=str(tmp_path / "fake.h5")), tmp_path / "run", "task.baseline", "not a Keras .h5")


def test_missing_baseline_is_refused(command, tmp_path):
    _refused(command(weights=str(tmp_path / "none.h5")), tmp_path / "run", "none.h5")


def test_missing_teacher_is_refused_before_anything_is_trained(command, tmp_path):
    settings = (*TINY, "recipe.0.distill.teacher=none.h5")
    _refused(command(settings=settings), tmp_path / "run", "prune needs none.h5")
    assert not (tmp_path / "run" / "stages").exists()


def test_stage_of_other_inputs_or_classes_is_refused(command, folder, tmp_path, tiny_baseline):
    """A stage of an earlier run says how it was trained: what would only show as a poor score is told."""
    stage = tmp_path / "stages" / "0_baseline"
    stage.mkdir(parents=True)
    tiny_baseline.save(stage / "model.h5", include_optimizer=False)
    for facts, words in (({"preprocessing": "tf"}, "preprocessing_name=tf"), ({"labels": ["a", "b"]}, '"a", "b"')):
        (stage / "stage.json").write_text(json.dumps(facts))
        result = command(settings=TINY, data=str(folder), weights=str(stage / "model.h5"))
        _refused(result, tmp_path / "run", "task.baseline", words)


def _of_ones_own(path: Path, backbone) -> tuple[dict, object]:
    """A saved model with `backbone` inside it, and how the command line is told of it."""
    from tfmo_drive.base.keras2 import keras

    inputs = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(backbone(inputs))
    model = keras.Model(inputs, keras.layers.Dense(9, name="logits")(pooled))
    model.save(path, save_format="tf")
    scenes = ("task.scenes.train=36", "task.scenes.val=36", "task.scenes.test=36", "task.preprocessing_name=unit")
    return {"experiment": "baseline", "settings": (*TINY, *scenes), "weights": str(path)}, model


def test_baseline_with_a_subclassed_model_inside_is_refused(command, tmp_path):
    from tfmo_drive.base.keras2 import keras

    class Own(keras.Model):
        def call(self, inputs):
            return inputs + 1.0

    given, _ = _of_ones_own(tmp_path / "own", Own(name="own"))
    _refused(command(**given), tmp_path / "run", "task.baseline", "holds own, a subclassed model", "Make it functional")


def test_baseline_with_a_backbone_inside_is_taken_and_its_file_gives_the_same(command, tmp_path):
    from tfmo_drive.networks.backbones import ResNet
    from tfmo_drive.runtimes.interpreters import LiteRTArtifact

    given, model = _of_ones_own(tmp_path / "own", ResNet(blocks=(1,), width=0.25).backbone(32))
    code, errors = command(**given, verb=export)
    assert code == 0, errors
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
    file = tmp_path / "run" / "artifacts" / "baseline" / "litert_float32" / "model.tflite"
    expected = model(pixels.astype(np.float32) / 255, training=False).numpy()
    np.testing.assert_allclose(LiteRTArtifact(file).predict(pixels), expected, atol=1e-4 * np.abs(expected).max())


def test_a_pack_is_for_a_board_that_must_exist(command, tmp_path):
    _refused(command(verb=board_pack), tmp_path / "run", "Say which board: --board=")
    _refused(command(board="stm32h7", verb=board_pack), tmp_path / "run", 'Did you mean "stm32h743"?')


def test_unknown_experiment_suggests_the_nearest(command, tmp_path):
    _refused(command(experiment="prunned"), tmp_path / "run", 'Did you mean "pruned"')


@pytest.mark.parametrize(("source", "words"), [
    ("x = 1\nEXPERIMENT = Prune()\n", "line 2: NameError: name 'Prune' is not defined"), ("", "no EXPERIMENT"),
    ("\0", "line 1: SyntaxError"), ("x = (\n", "line 1: SyntaxError"), ("import no_such_module\n", "line 1: Mod"),
])  # fmt: skip
def test_an_experiment_that_cannot_be_made_is_named_with_its_line(command, tmp_path, source, words):
    (tmp_path / "mine.py").write_text(source)
    _refused(command(experiment=str(tmp_path / "mine.py")), tmp_path / "run", f"{tmp_path / 'mine.py'}", words)


def test_unknown_setting_suggests_the_nearest(command, tmp_path):
    _refused(command(settings=("recipe.0.sparsty=0.7",)), tmp_path / "run", 'Did you mean "sparsity"')


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("recipe.0.sparsity=1.7", "recipe.0.sparsity must be in [0, 1), got 1.7"),
        ("recipe.0.pattern=2by4", "error: recipe.0.pattern must be"),
        ("recipe.1.preserve=values", "error: recipe.1.preserve must be"),
        ("training.learning_rate=0", "error: training.learning_rate must be"),
        ("task.image_size=4", "error: task.image_size must be"),
        ("task.augmentation.shift=2", "error: task.augmentation.shift must be"),
        ("task.network.topology=v2", "error: task.network.topology must be"),
        ("targets.1.threads=0", "threads"),
        ("targets.1.threads=1e400", "targets.1.threads"),
        ("targets.1.threads=99999", "threads must be at most 1024, got 99999"),
        ("training.epochs=" + "9" * 30, "training.epochs must be within"),
        ("training.learning_rate=-1e400", "training.learning_rate must be finite"),
        ("training.learning_rate=" + "9" * 400, "training.learning_rate must be finite"),
        ("task.network.blocks=" + "[" * 300, "task.network.blocks must be"),
        ("task.data=", "error: task.data must not be empty"),
        ("expect=None", "expect must be Expect"),
        ("task.split_seed=-1", "error: task.split_seed must be"),
        ("task.network.bn_momentum=1", "error: task.network.bn_momentum must be"),
        ("task.network.head.units=0", "error: task.network.head.units must be"),
    ],
)
def test_setting_out_of_range_names_the_rule(command, tmp_path, setting, words):
    _refused(command(settings=(setting,)), tmp_path / "run", words)


def test_two_runs_in_one_folder_the_second_says_who_holds_it(command, tmp_path):
    from tfmo_drive.base import run_folder

    with run_folder.held(tmp_path / "run"):
        _refused(command(), tmp_path / "run", f"in use by process {os.getpid()}")


@pytest.mark.parametrize("flag", ["data", "weights", "experiment"])
def test_a_flag_that_is_given_empty_is_refused(command, tmp_path, flag):
    _refused(command(**{flag: ""}), tmp_path / "run", f"--{flag} is empty. Give a value, or leave it out.")


@pytest.mark.parametrize("where", [".", "..", "/", "home", "signs", "signs/runs/smoke", "mine"])
def test_a_folder_that_is_somebodys_is_no_run_folder(where, command, folder, tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    (tmp_path / "mine" / ".draft.tmp").mkdir(parents=True)
    for path in (tmp_path / "mine" / "thesis.txt", tmp_path / "mine" / ".draft.tmp" / "a"):
        path.write_text("mine")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    before = sorted(tmp_path.rglob("*"))
    workdir = Path(where) if where in (".", "..", "/") else tmp_path / where
    code, errors = command(workdir=workdir, data=str(folder))
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert code == 1 and str(workdir) in line and "--workdir" in line
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture(params=["full", "read-only"])
def bad_disk(request, tmp_path):
    """A disk of 300 kB, or one that cannot be written; made with mount, so for root only."""
    place = tmp_path / "disk"
    place.mkdir()
    options = "size=300k" if request.param == "full" else "ro"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a tmpfs: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_bad_disk_is_one_line(command, bad_disk):
    scenes = ("task.scenes.train=64", "task.scenes.val=36", "task.scenes.test=36", "training.epochs=1")
    code, errors = command(settings=(*TINY, *scenes), workdir=bad_disk / "run")
    assert code == 1
    assert "error: " in errors.splitlines()[-1]
    assert "space" in errors or "Read-only" in errors
    assert str(bad_disk) in errors.splitlines()[-1]  # which disk that is
    assert not list(bad_disk.rglob("*.tmp*"))
    for path in bad_disk.rglob("*.json"):
        json.loads(path.read_text())
