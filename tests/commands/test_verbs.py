"""The door: every verb says what it does, quickly, and what nobody knows is answered in one line."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags

from tfmo_drive.boards.board import names
from tfmo_drive.commands import catalogue
from tfmo_drive.commands.verbs import VERBS, overview
from tfmo_drive.contracts import BadInput

ROOT = Path(__file__).parents[2]


def _said(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "tfmo_drive", *words], cwd=ROOT, text=True, capture_output=True)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_teaches_it_and_names_its_flags_without_tensorflow(verb):
    module = importlib.import_module(f"tfmo_drive.commands.{VERBS[verb][0]}")
    words = [sys.executable, "-X", "importtime", "-m", "tfmo_drive", verb, "--help"]
    shown = subprocess.run(words, cwd=ROOT, text=True,
                           capture_output=True)  # fmt: skip
    assert shown.returncode == 0 and f"tfmo-drive {verb}" in shown.stdout
    assert "| tensorflow\n" not in shown.stderr
    own = {flag.name for flag in flags.FLAGS.get_key_flags_for_module(module)}
    assert all(f"--{name}" in shown.stdout or f"--[no]{name}" in shown.stdout for name in own)


def test_the_same_flag_means_the_same_in_every_verb():
    """absl refuses a second definition of a name; all verbs are imported here."""
    for module, _ in VERBS.values():
        importlib.import_module(f"tfmo_drive.commands.{module}")
    assert {"experiment", "set", "data", "weights", "workdir", "seed", "examples", "out"} <= set(flags.FLAGS)


@pytest.mark.parametrize("words", [["--help"], ["help"], ["list"], ["run", "--help"]], ids=" ".join)
def test_what_only_tells_is_said_within_a_second(words):
    """The best of three, with the processor's own time, so that a busy machine does not count."""
    spent = []
    for _ in range(3):
        before = os.times()
        assert _said(*words).returncode == 0
        after = os.times()
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(spent) < 1.0


def test_the_overview_names_every_verb_and_a_wrong_one_gets_the_nearest():
    assert all(f"  {verb} " in overview() for verb in VERBS)
    wrong = _said("rum", "--experiment=smoke")
    assert wrong.returncode == 1 and wrong.stderr.startswith("error: There is no verb 'rum'. Did you mean \"run\"?")
    assert wrong.stderr.count("\n") == 1
    assert _said().returncode == 1 and _said().stdout == f"{overview()}\n"


def test_the_lists_hold_everything_with_a_line_each(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert catalogue.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line.split(maxsplit=1)) == 2 for line in lines if line.startswith("  "))
    for name in ("smoke", "channels_quantized", *names(), "Prune", "QuantizeAware", "ChannelPruning", "Spread"):
        assert any(line.split()[:1] == [name] for line in lines), name
    with pytest.raises(BadInput, match='Did you mean "boards"'):
        catalogue.main(["list", "board"])
