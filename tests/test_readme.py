"""What the README and the pages it links to promise exists: commands, files, pictures, settings, generated numbers."""

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from absl import flags
from PIL import Image
from results import block_of

from tfmo_drive.base.overrides import override
from tfmo_drive.commands import experiment_flags
from tfmo_drive.commands.verbs import VERBS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("experiments/*.md"), *ROOT.glob("data/*.md")])
GUIDES = [page for page in PAGES if page.name not in ("CHANGELOG.md", "RESULTS.md", "PERCEPTION.md")]
EXPERIMENTS = {path.stem: path for path in experiment_flags.files()}
TARGETS = set(re.findall(r"^([a-z%-]+):", MAKEFILE, re.MULTILINE))
VARIABLES = re.search(r"^VARIABLES = (.*)", MAKEFILE, re.MULTILINE)[1].split()


def commands() -> Iterator[tuple[str, str]]:
    """The commands that the guides show, in blocks and in sentences, each with the page that shows it."""
    for page in GUIDES:
        text = page.read_text().replace("\\\n", " ")
        blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
        spoken = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
        for line in [*blocks.split("\n"), *spoken]:
            if re.match(r"(make|(\.venv/bin/)?tfmo-drive) \S", line.strip()):
                yield line.strip(), page.name


def named(experiment: str) -> bool:
    """Whether a command names an experiment that is there, or stands for any of them."""
    return experiment in EXPERIMENTS or experiment.isupper() or experiment.startswith("path/")


@pytest.mark.parametrize(("command", "page"), sorted(set(commands())))
def test_every_command_shown_can_be_typed(command, page):
    program, what, *words = shlex.split(command.replace("...", "x"), comments=True)
    if program == "make":
        target, _, experiment = what.partition("-")
        assert what in TARGETS or f"{target}-%" in TARGETS and named(experiment), what
        given = dict(word.split("=", 1) for word in words)
        assert set(given) <= set(VARIABLES), given
        if experiment in EXPERIMENTS and given.get("SET"):
            override(experiment_flags.experiment(experiment), given["SET"].split())
        return
    assert what in VERBS, what
    module = importlib.import_module(f"tfmo_drive.commands.{VERBS[what][0]}")
    known = {flag.name: flag for flag in flags.FLAGS.get_key_flags_for_module(module)}
    for word in words:
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
            known[name].parser.parse(value)
            assert name != "experiment" or named(value), value
            assert name != "board" or (ROOT / f"tfmo_drive/boards/{value}.py").exists() or value.endswith(".py"), value


def test_the_readmes_python_runs(tmp_path, monkeypatch, brief_timing):
    (code,) = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert names["result"].best.path.is_file() and (tmp_path / "runs/mine/report.html").is_file()


def test_a_newcomer_reads_it_in_ten_minutes():
    assert len(README.splitlines()) <= 150


def test_first_commands_are_demo_and_test():
    block = README.split("```")[1].split("\n")
    assert [line.split("#")[0].strip() for line in block if line.strip()] == ["make demo", "make test"]


def test_ci_runs_the_readmes_test_command():
    assert "make test" in (ROOT / ".ci/run").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_linked_files_pictures_and_headings_exist(page):
    for link in re.findall(r"\]\(([^):]+)\)", page.read_text()):
        path, _, heading = link.partition("#")
        assert (page.parent / path).exists(), link
        titles = re.findall(r"^#+ (.*)", (page.parent / path).read_text() if heading else "", re.MULTILINE)
        assert not heading or heading in [title.lower().replace(" ", "-") for title in titles], link


def test_results_are_between_the_markers_of_the_generator():
    for page in ("RESULTS.md", "PERCEPTION.md"):
        text = (ROOT / "experiments" / page).read_text()
        assert len(block_of("results").findall(text)) == len(block_of("earlier results").findall(text)) == 1


def test_the_first_result_has_the_rows_that_make_smoke_measures():
    """The table and the picture are made by `make results RUNS=runs/smoke SECTION=readme`, of a run of `make smoke`."""
    (_, table, _), *more = block_of("first result").findall(README)
    smoke = experiment_flags.experiment("smoke")
    asked = [(stage, target.name) for stage in ("baseline", "smoke") for target in smoke.all_targets]
    files = {f"{stage}/{target}" for stage, target in asked if smoke.asks_for(stage, target)}
    shown = set(re.findall(r"^(\w+/\w+) ", table.split("\n\n")[0], re.MULTILINE))
    assert not more and shown <= files and {name for name in files if name.startswith("baseline/")} < shown


def test_the_picture_of_a_report_is_small_and_not_empty():
    picture = ROOT / "experiments" / "report.png"
    assert f"](experiments/{picture.name})" in README and picture.stat().st_size < 150_000
    with Image.open(picture) as image:
        assert image.width >= 1000 and len(image.getcolors()) > 8
