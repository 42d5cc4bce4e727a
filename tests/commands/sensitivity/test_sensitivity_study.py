"""The study of single layers: goes on where it stopped, leaves the baseline alone, and steps share out by it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tfmo_drive.commands.sensitivity import probes
from tfmo_drive.commands.sensitivity import sensitivity as command
from tfmo_drive.commands.sensitivity.sensitivity_page import document, write
from tfmo_drive.contracts import BadInput
from tfmo_drive.networks import layers, macs
from tfmo_drive.steps.channel_pruning import ChannelPruning
from tfmo_drive.steps.low_rank import LowRank
from tfmo_drive.steps.prune import Prune
from tfmo_drive.surgery.channel_graph import ChannelGraph

METHODS = ["sparsity", "channels", "rank", "bits"]


@pytest.fixture(scope="module")
def studied(context, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    command.studies(context(), METHODS, 48, folder)
    return folder


def read(folder: Path, method: str) -> dict:
    return json.loads((folder / f"{method}.json").read_text())


@pytest.mark.parametrize("method", METHODS)
def test_every_part_has_a_drop_at_every_strength(studied, method):
    found = read(studied, method)
    assert found["examples"] == 48 and 0.3 < found["score"] <= 1
    assert found["parts"] and all(len(one["drops"]) == len(found["strengths"]) for one in found["parts"].values())
    drops = [drop for one in found["parts"].values() for drop in one["drops"]]
    assert all(found["score"] - 1 <= drop <= found["score"] for drop in drops)
    assert max(drops) > 0.05


def test_every_kernel_is_asked(studied, tiny_baseline):
    sizes = {kernel.name: kernel.variable.shape.num_elements() for kernel in layers.kernels(tiny_baseline)}
    for method in ("sparsity", "bits"):
        assert {name: one["size"] for name, one in read(studied, method)["parts"].items()} == sizes


def test_what_is_finished_is_not_asked_again(studied, context, tiny_baseline, monkeypatch):
    path = studied / "sparsity.json"
    whole, left, digest = path.read_bytes(), read(studied, "sparsity"), layers.weights_digest(tiny_baseline)
    gone = left["parts"].popitem()[0]
    path.write_text(json.dumps(left))
    asked = []
    with monkeypatch.context() as patch:
        patch.setattr(command, "_scored", lambda model, kernels, *rest: asked.append(list(kernels)) or 0.0)
        command.studies(context(), METHODS, 48, studied)
    assert asked == [[gone]] * len(probes.METHODS["sparsity"].strengths)
    path.write_text(json.dumps(left))
    command.studies(context(), METHODS, 48, studied)
    assert path.read_bytes() == whole  # so that what was trained by it stays as it is
    assert layers.weights_digest(tiny_baseline) == digest


@pytest.mark.parametrize("left", ["{", json.dumps({"schema": 1})])
def test_a_file_that_is_no_study_is_made_again(context, tmp_path, left):
    (tmp_path / "bits.json").write_text(left)
    (found,) = command.studies(context(), ["bits"], 8, tmp_path)
    assert read(tmp_path, "bits") == found


def test_other_examples_begin_a_study_anew(context, tmp_path, monkeypatch):
    first = command.studies(context(), ["bits"], 8, tmp_path)[0]
    second = command.studies(context(), ["bits"], 9, tmp_path)[0]
    assert first["key"] != second["key"] and second["examples"] == 9
    assert not command._finished(tmp_path / "bits.json", first["key"])


def test_pruning_spares_what_the_study_found_tough(studied, context, tiny_baseline):
    step = Prune(sparsity=0.6, epochs=0, allocation=str(studied / "sparsity.json"))
    found = layers.sparsity(step(tiny_baseline, context()))
    sizes = {kernel.name: kernel.variable.shape.num_elements() for kernel in layers.kernels(tiny_baseline)}
    total = sum(found[name] * size for name, size in sizes.items()) / sum(sizes.values())
    assert total == pytest.approx(0.6, abs=0.01)
    assert max(found.values()) - min(found.values()) > 0.05
    assert step.files == (studied / "sparsity.json",)


def test_channels_go_by_the_study_too(studied, context, tiny_baseline):
    step = ChannelPruning(pruning_ratio=0.5, multiple=1, epochs=0, allocation=str(studied / "channels.json"))
    before, after = (ChannelGraph(one).groups for one in (tiny_baseline, step.structure(tiny_baseline, context())))
    left = [len(one.channels) / len(whole.channels) for one, whole in zip(after, before, strict=True)]
    assert np.ptp(left) > 0.05
    total = sum(len(group.channels) for group in after) / sum(len(group.channels) for group in before)
    assert total == pytest.approx(0.5, abs=0.03)


def test_ranks_go_by_the_study_too(studied, context, tiny_baseline):
    step = LowRank(macs=0.8, multiple=1, epochs=0, allocation=str(studied / "rank.json"))
    assert macs.of_model(step.structure(tiny_baseline, context())) <= 0.8 * macs.of_model(tiny_baseline)


@pytest.mark.parametrize(
    ("step", "settings", "said"),
    [
        (Prune, {"allocation": "by_eye"}, "one of uniform, lamp, global, or a file that tfmo-drive sensitivity "),
        (ChannelPruning, {"allocation": "by_eye"}, "one of uniform, global, or a file"),
        (LowRank, {"allocation": "by_eye"}, "one of uniform, or a file"),
        (ChannelPruning, {"allocation": "channels.json", "rounds": 2}, "rounds must be 1"),
        (LowRank, {"allocation": "rank.json", "method": "spatial"}, "studies are of method tucker"),
    ],
)
def test_an_allocation_is_a_rule_or_a_study_of_this_very_method(step, settings, said):
    with pytest.raises(BadInput, match=said):
        step(**settings)


def test_the_page_names_the_worst_layers_and_the_step(studied, tmp_path):
    found = [read(studied, method) for method in METHODS]
    parts = found[0]["parts"]
    worst = max(parts, key=lambda part: np.mean(parts[part]["drops"]))
    shown = document(found, "smoke", "the command", studied)
    assert any(worst in sentence for sentence in shown.verdict)
    write(found, "smoke", "the command", tmp_path)
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == set(METHODS)
    assert f'Prune(allocation="{tmp_path / "sparsity.json"}")' in (tmp_path / "sensitivity.md").read_text()
