"""The study of single layers: goes on where it stopped, leaves the baseline alone, and steps share out by it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tfmo_drive import sensitivity as command
from tfmo_drive.compress.channels import Channels
from tfmo_drive.compress.low_rank import LowRank
from tfmo_drive.compress.prune import Prune
from tfmo_drive.contracts import BadInput
from tfmo_drive.core import layers, macs, probes
from tfmo_drive.core.channels import ChannelGraph
from tfmo_drive.core.sensitivity import FILE
from tfmo_drive.report.sensitivity import document, write

METHODS = ["sparsity", "channels", "rank", "bits"]


@pytest.fixture(scope="module")
def studied(context, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("study") / FILE
    command.study(context(), METHODS, 48, path)
    return path


def test_every_part_has_a_drop_at_every_strength(studied, tiny_baseline):
    found = json.loads(studied.read_text())
    assert found["examples"] == 48 and 0.3 < found["score"] <= 1
    assert set(found["methods"]) == set(METHODS)
    for name, one in found["methods"].items():
        assert one["drops"] and all(len(drops) == len(one["strengths"]) for drops in one["drops"].values()), name
        assert all(found["score"] - 1 <= drop <= found["score"] for drops in one["drops"].values() for drop in drops)
    assert set(found["methods"]["bits"]["drops"]) == {kernel.name for kernel in layers.kernels(tiny_baseline)}
    assert max(drops[-1] for drops in found["methods"]["sparsity"]["drops"].values()) > 0.1


def test_what_is_finished_is_not_asked_again(studied, context, tiny_baseline, monkeypatch):
    before, digest = json.loads(studied.read_text()), layers.weights_digest(tiny_baseline)
    left = json.loads(studied.read_text())
    gone = left["methods"]["sparsity"]["drops"].popitem()[0]
    studied.write_text(json.dumps(left))
    asked = []
    monkeypatch.setattr(command, "_scored", lambda model, kernels, *rest: asked.append(list(kernels)) or 0.0)

    command.study(context(), METHODS, 48, studied)

    assert asked == [[gone]] * len(probes.METHODS["sparsity"].strengths)
    assert layers.weights_digest(tiny_baseline) == digest
    studied.write_text(json.dumps(before))


def test_other_examples_begin_a_study_anew(context, tmp_path):
    first = command.study(context(), ["bits"], 8, tmp_path / FILE)
    second = command.study(context(), [], 9, tmp_path / FILE)
    assert first["methods"] and not second["methods"]


def test_pruning_spares_what_the_study_found_tough(studied, context, tiny_baseline):
    step = Prune(sparsity=0.6, epochs=0, allocation=str(studied))
    found = layers.sparsity(step(tiny_baseline, context()))
    sizes = {kernel.name: kernel.variable.shape.num_elements() for kernel in layers.kernels(tiny_baseline)}
    total = sum(found[name] * size for name, size in sizes.items()) / sum(sizes.values())
    assert total == pytest.approx(0.6, abs=0.01)
    assert max(found.values()) - min(found.values()) > 0.05
    assert step.files == (studied,)


def test_channels_and_ranks_go_by_the_study_too(studied, context, tiny_baseline):
    narrow = Channels(removed=0.5, multiple=1, epochs=0, allocation=str(studied)).structure(tiny_baseline, context())
    before = ChannelGraph(tiny_baseline).groups
    left = [
        len(group.channels) / len(was.channels) for group, was in zip(ChannelGraph(narrow).groups, before, strict=True)
    ]
    assert np.ptp(left) > 0.05
    count = sum(len(group.channels) for group in ChannelGraph(narrow).groups)
    assert count == pytest.approx(sum(len(group.channels) for group in before) / 2, rel=0.05)
    thin = LowRank(macs=0.8, multiple=1, epochs=0, allocation=str(studied)).structure(tiny_baseline, context())
    assert macs.of_model(thin) <= 0.8 * macs.of_model(tiny_baseline)


@pytest.mark.parametrize("step", [Prune, Channels, LowRank])
def test_an_allocation_is_a_rule_or_a_file(step):
    with pytest.raises(BadInput, match="allocation must be one of uniform.* or a sensitivity.json, got 'by_eye'"):
        step(allocation="by_eye")


def test_the_page_names_the_worst_layers(studied, tmp_path):
    study = {**json.loads(studied.read_text()), "experiment": "smoke"}
    drops = study["methods"]["sparsity"]["drops"]
    worst = max(drops, key=lambda part: np.mean(drops[part]))
    assert any(worst in sentence for sentence in document(study, studied).verdict)
    write(study, tmp_path)
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == set(METHODS)
    assert "recipe.0.allocation" in (tmp_path / "sensitivity.html").read_text()
