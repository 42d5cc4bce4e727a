"""Run folders: nobody else's files are removed or written among, and damaged stages are told in one line."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from absl import logging

from tfmo_drive.base import atomic
from tfmo_drive.base.run_folder import StageFolder, held, inputs, read_facts
from tfmo_drive.contracts import BadInput

GOOD = {"key": "k", "keras_score": 0.5, "val_score": 0.5, "seconds": 1.0, "preprocessing": "unit",
        "labels": ["a", "b"], "skipped_layers": {"conv": "too small"}, "promise": None, "settings": {}}  # fmt: skip


class Model:
    """What is saved of a stage."""

    def save(self, path: Path, include_optimizer: bool) -> None:
        path.write_bytes(b"weights")


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def stage(tmp_path):
    """A finished stage of key "k"."""
    made = StageFolder(tmp_path / "run" / "stages" / "1_prune", "k")
    for name in ("progress.npz", "tensorboard/train/events.out.tfevents.1.host", "round_01/curves.json"):
        atomic.write_text(made.path / name, "{}")
    atomic.write_json(made.path / "curves.json", {"epoch": [1, 2], "loss": [1.0, 0.5]})
    made.finish(Model(), {name: value for name, value in GOOD.items() if name != "key"})
    return made.path


def test_what_looks_like_a_leftover_but_is_somebody_elses_stays(tmp_path, stage):
    run = tmp_path / "run"
    others = [run / ".thesis.tmp" / "chapter.txt", run / ".notes.tmp.md", run / "stages" / ".mine.1.tmp" / "a",
              stage / ".x.tmp", run / "mine" / ".y.tfmo_drive-0123456789abcdef.tmp" / "b"]  # fmt: skip
    atomic.write_json(run / "experiment.json", {"experiment": "smoke", "settings": {}})
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    (run / "artifacts").mkdir()
    elsewhere = tmp_path / "elsewhere" / ".model.tfmo_drive-0123456789abcdef.tmp.h5"
    atomic.write_text(elsewhere, "mine")
    (run / "artifacts" / "link").symlink_to(tmp_path / "elsewhere")
    ours = [run / "stages" / "1_prune" / ".model.tfmo_drive-0123456789abcdef.tmp.h5",
            run / ".report.tfmo_drive-0123456789abcdef.tmp.json"]  # fmt: skip
    for path in ours:
        path.write_text("left")
    with held(run):
        assert all(path.read_text() == "mine" for path in [*others, elsewhere])
        assert not any(path.exists() for path in ours)


def test_places_that_are_no_run_folders_are_refused_before_anything_is_written(tmp_path, monkeypatch):
    home, here, full = tmp_path / "home" / "me", tmp_path / "checkout", tmp_path / "full"
    for place in (home, here, full):
        atomic.write_text(place / "important.txt", "mine")
        atomic.write_text(place / ".draft.tmp" / "a", "mine")
    (tmp_path / "link").symlink_to(full)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    before = tree(tmp_path)
    for workdir in (".", "..", here, here / "..", home, home.parent, "/", "~", full, tmp_path / "link"):
        workdir = Path(workdir).expanduser()
        with pytest.raises(BadInput) as refused, held(workdir):
            pass
        assert str(workdir) in str(refused.value) and str(refused.value).isprintable()
        assert "--workdir" in str(refused.value)
    assert tree(tmp_path) == before
    with held(Path("runs/new")):
        pass
    with held(Path("runs/new")):  # the folder of a run that was stopped at once
        pass


@pytest.mark.parametrize("name", ["report.md", "report.html", "experiment.json", "lint.txt"])
def test_a_file_of_somebody_that_is_called_as_a_runs_is_not_replaced(name, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / name).write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(BadInput, match=f"thesis holds {name}, and no run"), held(tmp_path / "thesis"):
        pass
    assert tree(tmp_path) == before
    with held(tmp_path / "run"):
        atomic.write_text(tmp_path / "run" / name, "the run's")
    with held(tmp_path / "run"):
        pass


@pytest.mark.parametrize("workdir", ["file", "file/run", "dangling", "/dev/null"])
def test_what_can_be_no_folder_is_told_with_what_to_type(workdir, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(BadInput, match="Choose another (one|folder) with --workdir"), held(tmp_path / workdir):
        pass


@pytest.mark.parametrize("workdir", ["signs", "signs/run", "signs/stop/run", "."])
def test_data_is_not_written_into(workdir, tmp_path):
    (tmp_path / "all" / "signs" / "stop").mkdir(parents=True)
    data, before = tmp_path / "all" / "signs", sorted((tmp_path / "all").rglob("*"))
    with (
        pytest.raises(BadInput, match=r"(is|holds|lies in) task\.data"),
        held(tmp_path / "all" / workdir, {"task.data": data}),
    ):
        pass
    assert sorted((tmp_path / "all").rglob("*")) == before
    with held(tmp_path / "all" / "run", {"task.data": data, "task.baseline": data / "stop" / "weights.h5"}):
        pass


def test_a_result_that_the_run_may_make_again_is_no_input_of_it(stage):
    for setting in ("task.baseline", "recipe.0.distill.teacher"):
        with (
            pytest.raises(BadInput, match=f"{setting} .* is a result of"),
            held(stage.parents[1], {setting: stage / "model.h5"}),
        ):
            pass


def test_inputs_are_what_settings_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("signs", "stop", "a.h5", "b.h5", "study"):
        (tmp_path / name).touch()
    settings = {"task": {"data": "signs", "classes": ["stop"], "baseline": "", "kind": "stop", "odd": "\0/x" * 9000},
                "recipe": [{"distill": {"teacher": "a.h5, b.h5"}, "own": str(tmp_path / "study")}]}  # fmt: skip
    assert dict(inputs(settings)).keys() == {"task.data", "recipe.0.distill.teacher", "recipe.0.own"}
    assert len(list(inputs(settings))) == 4


@pytest.mark.parametrize("name", [".lock", "log.txt"])
def test_planted_links_are_not_written_through(name, tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(tmp_path / "victim")
    with pytest.raises(BadInput, match="is a link"), held(tmp_path / "run"):
        pass
    assert (tmp_path / "victim").read_text() == "mine"


def test_a_stage_of_other_settings_is_made_again_and_its_own_files_go(stage):
    again = StageFolder(stage, "other")
    assert tree(stage).keys() == {"stage.json"} and not again.finished


@pytest.mark.parametrize("name", ["notes.txt", "tensorboard/mine.csv", "round_01/model/weights.h5", "model.h5.bak"])
def test_a_stage_with_somebodys_files_is_not_removed(name, stage):
    atomic.write_text(stage / name, "mine")
    before = tree(stage)
    with pytest.raises(BadInput, match="is not of a stage.*Move it away"):
        StageFolder(stage, "other")
    assert tree(stage) == before
    assert StageFolder(stage, "k").finished


def test_a_folder_that_only_is_called_as_a_stage_is_not_removed(tmp_path):
    mine = tmp_path / "stages" / "0_baseline"
    for files in ({"photo.jpg": "mine"}, {"model.h5": "mine"}, {"model.h5": "mine", "stage.json": "{}"}):
        for name, text in files.items():
            atomic.write_text(mine / name, text)
        with pytest.raises(BadInput):
            StageFolder(mine, "k")
        assert tree(mine) == {name: text.encode() for name, text in files.items()}
        shutil.rmtree(mine)
    (tmp_path / "elsewhere").mkdir()
    mine.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match="should be a stage's folder"):
        StageFolder(mine, "k")


DAMAGED = {
    "[1, 2]": "an object expected", '{"key": "k", "fin': "Unterminated", "": "Expecting value",
    "[" * 100_000: "recursion", '{"key": 5}': "key must be a text", '{"finished": "yes"}': "finished must be true",
    '{"val_score": "0.9"}': "val_score must be a number", '{"val_score": true}': "val_score must be a number",
    f'{{"seconds": {"9" * 400}}}': "seconds must be a number", f'{{"seconds": {"9" * 5000}}}': "limit",
    '{"keras_score": 1e400}': "keras_score must be a number", '{"labels": {"a": 1}}': "labels must be a list",
    '{"labels": ["a", 3]}': "labels must be a list",
    '{"skipped_layers": {"conv": []}}': "skipped_layers must be an object",
    '{"preprocessing": ["unit"]}': "preprocessing must be a text", '{"settings": 3}': "settings must be an object",
}  # fmt: skip


@pytest.mark.parametrize("text", DAMAGED, ids=lambda text: text[:24])
def test_a_damaged_stage_json_is_one_line_and_nothing_is_lost(text, stage):
    (stage / "stage.json").write_text(text)
    before = tree(stage)
    for read in (lambda: StageFolder(stage, "k"), lambda: read_facts(stage)):
        with pytest.raises(BadInput, match=DAMAGED[text]) as refused:
            read()
        assert str(stage / "stage.json") in str(refused.value) and str(refused.value).isprintable()
    assert tree(stage) == before


def test_a_finished_stage_that_lacks_a_fact_is_told(stage):
    facts = json.loads((stage / "stage.json").read_text())
    for name in ("val_score", "sha256", "finished"):
        (stage / "stage.json").write_text(json.dumps({key: facts[key] for key in facts if key != name}))
        with pytest.raises(BadInput, match=f"stage.json is damaged: {name} is not there"):
            StageFolder(stage, "k", ("val_score",))
        assert (stage / "model.h5").exists()


def test_a_changed_model_is_told_and_a_lost_one_is_made_again(stage):
    assert StageFolder(stage, "k").finished
    (stage / "model.h5").write_bytes(b"weightz")
    with pytest.raises(BadInput, match="is not what the stage saved"):
        StageFolder(stage, "k")
    (stage / "model.h5").unlink()
    assert not StageFolder(stage, "k").finished


def test_a_fifo_in_the_place_of_a_file_does_not_hang(stage):
    (stage / "stage.json").unlink()
    os.mkfifo(stage / "stage.json")
    with pytest.raises(BadInput, match="is a pipe"):
        read_facts(stage)


@pytest.mark.parametrize("text", ["[]", '{"epoch": 3}', '{"epoch": [1, 2], "loss": [1.0]}', '{"epoch": ["x"]}', "{"])
def test_damaged_curves_are_one_line(text, stage):
    (stage / "curves.json").write_text(text)
    with pytest.raises(BadInput, match=r"curves\.json is (damaged|not what a run)"):
        StageFolder(stage, "k").curves()


@pytest.mark.parametrize("written", [None, "experiment.json"])
@pytest.mark.parametrize("there", ["", "runs", "runs/mine"])
def test_a_refused_start_leaves_nothing_unless_it_has_written_a_result(there, written, tmp_path):
    (tmp_path / there).mkdir(parents=True, exist_ok=True)
    before = sorted(tmp_path.rglob("*"))
    workdir = tmp_path / "runs" / "mine"
    with pytest.raises(BadInput, match="no such class"), held(workdir):
        logging.warning("read so far")
        if written:
            (workdir / written).write_text("{}")
        raise BadInput("no such class")
    after = sorted(tmp_path.rglob("*"))
    assert after == before if not written else (workdir / written in after and workdir / "log.txt" in after)


def test_a_refused_start_in_a_runs_folder_keeps_its_log(tmp_path):
    with held(tmp_path / "run"):
        logging.warning("the first run")
    with pytest.raises(BadInput), held(tmp_path / "run"):
        raise BadInput("no such class")
    assert "the first run" in (tmp_path / "run" / "log.txt").read_text()
