"""What the README promises exists: its commands are Make targets, its files are there, its numbers were generated."""

import re
from pathlib import Path

import pytest
from results import block_of

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [
    page for page in (*ROOT.glob("*.md"), *ROOT.glob("experiments/*.md"), ROOT / "data/README.md") if page.exists()
]
MAKEFILE = (ROOT / "Makefile").read_text()


def test_commands_are_make_targets():
    targets = set(re.findall(r"^([a-z%-]+):", MAKEFILE, re.MULTILINE))
    for command in set(re.findall(r"make ([a-z_-]+[a-z_0-9]*)", README)) - {"train-"}:
        pattern = re.sub(r"^(train|export|sensitivity|ledger|lint)-.*", r"\1-%", command)
        assert pattern in targets, command


def test_first_commands_are_demo_and_test():
    block = README.split("```")[1].split("\n")
    assert [line.split("#")[0].strip() for line in block if line.strip()] == ["make demo", "make test"]


def test_ci_runs_the_readmes_test_command():
    assert "make test" in (ROOT / ".ci/run").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_linked_files_and_pictures_exist(page):
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link


def test_results_are_between_the_markers_of_the_generator():
    for page in ("RESULTS.md", "PERCEPTION.md"):
        text = (ROOT / "experiments" / page).read_text()
        assert len(block_of("results").findall(text)) == len(block_of("earlier results").findall(text)) == 1


def test_modules_named_in_commands_exist():
    for module in re.findall(r"python -m (tfmo_drive\.[a-z_]+)", README + MAKEFILE):
        assert (ROOT / (module.replace(".", "/") + ".py")).exists(), module
