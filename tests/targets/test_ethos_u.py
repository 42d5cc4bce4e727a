"""Ethos-U: everything on the NPU, the promised bytes in the compiled file, Vela's numbers read right."""

from __future__ import annotations

import csv
import subprocess
import sys

import numpy as np
import pytest

from tfmo_drive.contracts import BadInput
from tfmo_drive.measures.latency import Latency
from tfmo_drive.runtimes import artifact_metadata, tflite_file, vela
from tfmo_drive.runtimes.interpreters import LiteRTArtifact
from tfmo_drive.targets.ethos_u import SYSTEMS, EthosU


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ethos")


@pytest.fixture(scope="module")
def artifact(model, folder):
    from tests.targets.conftest import Guessing
    from tfmo_drive.contracts import Context

    return EthosU(calibration_images=20)(model, folder, Context(Guessing(), model, (), folder, 0))


def test_all_operators_are_on_the_npu(artifact):
    npu = artifact.notes["npu"]
    assert npu["cpu_operators"] == 0 and npu["npu_operators"] > 8 and npu["on_cpu"] == []
    assert set(tflite_file.operators(artifact.path)) == {"CUSTOM"}
    assert artifact.path.name == "model_vela.tflite" and artifact.path.stat().st_size > 1000


def test_its_numbers_are_velas(artifact, folder, tmp_path):
    system, memory = SYSTEMS["ethos-u55"]
    command = [sys.executable, "-m", "ethosu.vela", str(folder / "model.tflite"), "--accelerator-config",
               "ethos-u55-128", "--system-config", system, "--memory-mode", memory, "--config", "Arm/vela.ini",
               "--output-dir", str(tmp_path)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    summary = next(csv.DictReader(next(tmp_path.glob("*_summary_*.csv")).open()))
    npu = artifact.notes["npu"]
    assert npu["cycles"] == float(summary["cycles_total"]) > 0
    assert npu["inference_ms"] == pytest.approx(1000 * npu["cycles"] / npu["clock_hz"], rel=1e-3)
    assert npu["sram_bytes"] == 1024 * float(summary["sram_memory_used"]) > 0 and npu["dram_bytes"] == 0
    assert npu["flash_bytes"] <= artifact.path.stat().st_size
    assert npu["encoded_weight_bytes"] == float(summary["total_npu_encoded_weights"])


def test_layers_sum_to_the_whole(artifact):
    npu = artifact.notes["npu"]
    assert sum(layer["macs"] for layer in npu["layers"]) >= artifact.macs() > 0
    assert sum(layer["cycles"] for layer in npu["layers"]) == pytest.approx(npu["cycles"], rel=0.01)
    assert any("logits" in layer["name"] for layer in npu["layers"])


def test_it_says_what_the_file_before_says_on_reference_kernels(artifact, folder, images):
    reference = LiteRTArtifact(folder / "model.tflite", kernels="reference")
    assert np.array_equal(artifact.predict(images), reference.predict(images))
    assert artifact.runtime == "ethos-u55-128 (evaluated on litert reference)"
    assert artifact.weights().keys() == reference.weights().keys()


def test_nobody_times_it_here(artifact, context):
    assert artifact.runner(context.calibration(1)[0]) is None
    assert Latency()(artifact, artifact, context) == {}


def test_the_compiled_file_knows_itself(artifact):
    described = artifact_metadata.read(artifact.path)
    assert described["target"] == "ethos_u55_128" and described["labels"] == ["a", "b", "c", "d", "e"]
    assert described["npu"]["accelerator"] == "ethos-u55-128"


def test_a_wider_npu_needs_fewer_cycles(artifact, folder):
    wide = vela.compiled(folder / "model.tflite", vela.System("ethos-u55-256", *SYSTEMS["ethos-u55"]))
    assert wide.facts["npu_cycles"] < artifact.notes["npu"]["npu_cycles"]


@pytest.mark.parametrize("family", SYSTEMS)
def test_arms_examples_exist(family, folder):
    size = {"ethos-u55": 64, "ethos-u65": 256, "ethos-u85": 128}[family]
    made = vela.compiled(folder / "model.tflite", vela.System(f"{family}-{size}", *SYSTEMS[family]))
    assert made.facts["cpu_operators"] == 0 and made.facts["cycles"] > 0


def test_bad_settings_are_refused(folder):
    with pytest.raises(BadInput, match='EthosU.accelerator: no "ethos-u55-127". Did you mean "ethos-u55-128"'):
        EthosU(accelerator="ethos-u55-127")
    with pytest.raises(BadInput, match="EthosU.threads must be at least 1, got 0"):
        EthosU(threads=0)
    with pytest.raises(BadInput, match="Vela does not compile .*Ethos_U99"):
        vela.compiled(folder / "model.tflite", vela.System("ethos-u55-128", "Ethos_U99", "Shared_Sram"))
