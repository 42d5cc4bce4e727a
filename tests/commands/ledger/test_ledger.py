"""The ledger: every runtime gets its line, and a loss that is planted is found where it was planted."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from tfmo_drive.commands.ledger import layer_values, ledger
from tfmo_drive.commands.ledger.ledger_page import document, verdict
from tfmo_drive.contracts import BadInput
from tfmo_drive.networks import graph
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8


@pytest.fixture(scope="module")
def stages(context, finished, tiny_baseline, tmp_path_factory):
    """Those of a quantize-aware tiny network."""
    place = tmp_path_factory.mktemp("ledger")
    work = context(workdir=place / "stages")
    model = finished(QuantizeAware(epochs=1, batch_size=32))
    artifact = LiteRTInt8()(model, place, work)
    return list(ledger.stages_of({"0_baseline": tiny_baseline, "1_quantize_aware": model}, artifact, work)), work


@pytest.fixture(scope="module")
def found(stages):
    return ledger.ledger(*stages, images=48, agreement=0.99, sqnr_db=20.0)


def test_every_runtime_has_a_line(found):
    assert [(row["stage"], row["against"]) for row in found["stages"]] == [
        ("0_baseline", ""), ("1_quantize_aware", "0_baseline"), ("litert reference", "1_quantize_aware"),
        ("litert xnnpack", "litert reference"), ("tflite micro", "litert reference"),
        ("onnxruntime", "litert reference"),
    ]  # fmt: skip
    assert found["stages"][1]["runtime"] == "keras, fake-quantised" and found["examples"] == 48
    assert all(row["agreement"] > 0.9 for row in found["stages"][2:5])
    sums = np.cumsum([row.get("delta", 0.0) for row in found["stages"][:3]])
    assert [row.get("delta_first", 0.0) for row in found["stages"][:3]] == pytest.approx(list(sums))


def test_ledger_of_a_float_file_has_the_float_runtimes(context, tiny_baseline, tmp_path):
    work = context(workdir=tmp_path / "stages")
    artifact = LiteRTFloat32()(tiny_baseline, tmp_path, work)
    stages = list(ledger.stages_of({"0_baseline": tiny_baseline}, artifact, work))
    assert [stage.name for stage in stages] == ["0_baseline", "litert reference", "litert xnnpack"]
    rows = ledger.ledger(stages, work, images=16, agreement=0.99, sqnr_db=20.0)["stages"]
    assert [row["agreement"] for row in rows[1:]] == [1.0] * 2 and rows[1]["parts_at"] == "not searched"


def test_a_broken_layer_is_named(stages, tiny_baseline):
    (first, *_), work = stages
    broken = graph.copied(tiny_baseline)
    names = [layer.name for layer in broken.layers if layer.weights and "conv" in layer.name]
    layer = broken.get_layer(names[2])
    layer.set_weights([-weights for weights in layer.get_weights()])
    second = dataclasses.replace(
        list(ledger.stages_of({"broken": broken}, *_file(broken, work)))[0], against=first.name
    )
    rows = ledger.ledger([first, second], work, images=16, agreement=1.01, sqnr_db=20.0)["stages"]
    assert rows[1]["parts_at"]["layer"] == names[2]


def _file(model, work):
    folder = work.workdir.parent / "broken"
    folder.mkdir(exist_ok=True)
    return LiteRTInt8()(model, folder, work), work


def test_runtimes_of_one_file_part_at_the_first_step_of_difference(stages, finished):
    listed, work = stages
    reference, micro = listed[2], listed[4]
    raw = work.task.examples("test").read(np.arange(8))[0]
    ours, theirs = reference.layers(raw), micro.layers(raw)
    assert [one.tensor for one in ours] == [one.tensor for one in theirs]
    changed = [dataclasses.replace(one, values=one.values.copy()) for one in ours]
    assert layer_values.parting(ours, changed, 20.0, same_file=True) is None
    changed[3].values.flat[0] += 2 * changed[3].step
    changed[5].values.flat[0] += changed[5].step
    parts = layer_values.parting(ours, changed, 20.0, same_file=True)
    assert parts.layer == ours[3].layer and parts.steps == pytest.approx(2, abs=1e-3)


def test_layers_of_keras_and_of_the_float_file_say_the_same(context, tiny_baseline, tmp_path):
    work = context(workdir=tmp_path / "stages")
    artifact = LiteRTFloat32()(tiny_baseline, tmp_path, work)
    raw = work.task.examples("test").read(np.arange(4))[0]
    theirs = layer_values.of_keras(tiny_baseline, work.task.preprocessing(raw))
    ours = layer_values.of_litert(artifact.path, raw, "reference")
    known = {one.layer: one.values for one in theirs}
    shared = [one for one in ours if one.layer in known and known[one.layer].shape == one.values.shape]
    assert len(shared) >= 5
    assert all(layer_values.sqnr_db(known[one.layer], one.values) > 60 for one in shared)


def test_verdict_names_the_stage_that_lost_most(found):
    rows = [dict(row) for row in found["stages"]]
    for row in rows[1:]:
        row |= {"delta_low": -0.01, "delta_high": 0.01}
    said = found | {"stages": rows, "experiment": "x", "target": "litert_int8", "environment": {"command": "made"}}
    assert verdict(said) == "No stage loses more than chance on 48 of 64 test examples."
    rows[3] |= {"delta": -0.05, "delta_low": -0.08, "delta_high": -0.02,
                "parts_at": {"layer": "conv1", "operator": "CONV_2D", "sqnr_db": 11.2, "steps": 3.0}}  # fmt: skip
    assert verdict(said).startswith("The loss appears at litert xnnpack: -5.0 points (-8.0 to -2.0) against litert ref")
    table = document(said).sections[0].table
    assert str(table.rows[1][0]) == "1_quantize_aware (keras, fake-quantised, against 0_baseline)"
    assert str(table.rows[3][0]) == "litert xnnpack (against litert reference)"
    assert table.rows[3][1].text == "conv1 (CONV_2D, 11 dB, 3 LSB)" and len(table.columns) == len(table.rows[0])


def test_wrong_target_is_refused(context, tiny_baseline, tmp_path):
    with pytest.raises(BadInput, match="None of the experiment's targets makes a .tflite"):
        ledger.tflite([], None, "")
    artifact = LiteRTFloat32()(tiny_baseline, tmp_path, context(workdir=tmp_path / "stages"))
    assert ledger.tflite([artifact], None, "litert_int8") is artifact
    last = SimpleNamespace(name="last", path=artifact.path)
    assert ledger.tflite([artifact, last], None, artifact.name) is artifact, "the one that the experiment judges"
    assert ledger.tflite([artifact, last], None, "onnx_int8") is last is ledger.tflite([artifact, last], "last", "")
    with pytest.raises(BadInput, match="no .tflite of 'litert_float23'. Did you mean \"litert_float32\""):
        ledger.tflite([artifact], "litert_float23", "")


def test_one_group_has_no_chance_to_speak_of(found):
    rows = [dict(row) for row in found["stages"]]
    for row in rows[1:]:
        row |= {"delta": 0.0, "delta_low": None, "delta_high": None}
    rows[2]["delta"] = -0.25
    said = verdict(found | {"stages": rows})
    assert "one group" in said and "litert reference loses most against 1_quantize_aware, -25.0 points" in said


def test_a_ledger_of_a_worthless_baseline_says_so_first_and_holds_the_trivial_answer(found):
    said = found | {"experiment": "x", "target": "litert_int8", "environment": {"command": "made"}}
    first = said["stages"][0]
    assert first["score"] - first["trivial_score"] == pytest.approx(first["over_trivial"])
    assert not document(said).verdict[0].startswith("WORTHLESS")
    lines = document(said).sections[0].table.rows
    assert lines[-1][0].text == f"trivial: {first['trivial_answer']}" and len(lines) == len(said["stages"]) + 1
    lost = [first | {"over_trivial_low": -0.1}, *said["stages"][1:]]
    assert document(said | {"stages": lost}).verdict[0].startswith("WORTHLESS BASELINE: 0_baseline scores ")
