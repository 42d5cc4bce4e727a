"""What is typed after make reaches the program as it is, and a variable that nothing reads is named."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SPOILT = ("it's", "a b", 'say "no"', "$HOME", "$(x)", "`id`", "a;b", "a\\b", "é", "*", "--data", "#1", "a&&b", "'")

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="needs make")


@pytest.fixture
def make(tmp_path):
    """make(...) -> the lists of arguments that the targets' commands got; stubs print them in the programs' place."""
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / ".installed").touch()
    for name in ("python", "tfmo-drive"):
        stub = venv / "bin" / name
        stub.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
        stub.chmod(0o755)

    def call(*words: str) -> list[list[str]]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        done = subprocess.run(["make", "--silent", f"VENV={venv}", *words], cwd=ROOT, text=True,
                              capture_output=True, env=plain)  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return call


def test_every_value_reaches_the_program_as_it_is_typed(make):
    for value in SPOILT:
        given = {"DATA": value, "WEIGHTS": value, "WORKDIR": value, "CONTROLS": value, "BOARD": value}
        (said,) = make("export-pruned", *(f"{name}={text}" for name, text in given.items()))
        for name in given:
            assert f"--{name.lower()}={value}" in said, said
    (said,) = make("lint-pruned", "CALIBRATION=it's a $b")
    assert "--calibration=it's a $b" in said
    (said,) = make("sensitivity-pruned", "METHODS=a'b", "EXAMPLES=$1")
    assert "--methods=a'b" in said and "--examples=$1" in said


def test_settings_are_separated_by_spaces(make):
    (said,) = make("train-pruned", "SET=recipe.0.sparsity=0.7 task.data='a'$b", "SEED=3")
    assert said == ["run", "--experiment=pruned", "--seed=3", "--set=recipe.0.sparsity=0.7",
                    "--set=task.data='a'$b"]  # fmt: skip


def test_what_is_not_given_is_not_passed_on_and_what_is_given_empty_is(make):
    assert make("train-pruned") == [["run", "--experiment=pruned", "--seed=0"]]
    assert "--data=" in make("train-pruned", "DATA=")[0]


def test_runs_are_patterns_or_folders(make, tmp_path):
    for name in ("it's", "b"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    runs = [str(tmp_path / "runs" / name) for name in ("b", "it's")]
    for given in (f"RUNS={tmp_path}/runs/*", f"RUNS={' '.join(runs)}"):
        assert make("compare", given) == [["compare", *runs]]
    assert make("npu", f"RUNS={runs[0]}", "NPUS=x'y") == [["npu", runs[0], "--accelerators=x'y"]]


@pytest.mark.parametrize(("typed", "meant"), [("data", "DATA"), ("WEIGTHS", "WEIGHTS"), ("sets", "SET"), ("Q", None)])
def test_a_variable_that_nothing_reads_is_named(make, typed, meant):
    with pytest.raises(RuntimeError, match=f"There is no variable {typed}. ") as told:
        make("train-pruned", f"{typed}=x")
    assert "There is: DATA" in str(told.value) and str(told.value).count("\n") == 1
    assert (f"Did you mean {meant}?" in str(told.value)) if meant else ("Did you" not in str(told.value))


EVERY_EXPERIMENT = ("demo", "smoke", "train-x", "export-x", "sensitivity-x", "ledger-x", "lint-x")
TARGETS = (*EVERY_EXPERIMENT, "compare", "npu", "results", "fuzz", "test", "bench", "survey", "architectures")


def test_help_describes_every_variable_and_the_targets_that_read_it():
    known = re.search("^VARIABLES = (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    told = re.findall(r"^([A-Z]+) +(\S.{9,}) \((.*)\)$", _printed("--silent", "help"), re.MULTILINE)
    assert sorted(name for name, _, _ in told) == sorted(known)
    run = {target: _printed("--dry-run", target, *(f"{name}=<{name}>" for name in known)) for target in TARGETS}
    for name, _, readers in told:
        said = {part for one in readers.split(", ") for part in (EVERY_EXPERIMENT if "every" in one else [one])}
        assert {one.removesuffix("-x") for one in said} == {
            target.removesuffix("-x") for target, command in run.items() if f"<{name}>" in command
        }, name


def _printed(*words: str) -> str:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(["make", *words], cwd=ROOT, text=True, capture_output=True, env=plain, check=True).stdout
