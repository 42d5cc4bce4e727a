"""What is installed: every package is listed, a wheel has all that runs; a file of one's own is read by its path."""

from __future__ import annotations

import configparser
import dataclasses
import re
from pathlib import Path

import pytest

from tfmo_drive.boards.board import named, names
from tfmo_drive.commands import experiment_flags
from tfmo_drive.contracts import BadInput

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def options():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_every_folder_with_modules_is_a_listed_package(options):
    folders = {one.parent for one in (ROOT / "tfmo_drive").rglob("*.py")} | {
        one.parent for one in experiment_flags.files()
    }
    wanted = {".".join(folder.relative_to(ROOT).parts) for folder in (*folders, ROOT / "experiments")}
    wanted = {name.replace("experiments", "tfmo_drive.experiments", 1) if name.startswith("experiments") else name
              for name in wanted}  # fmt: skip
    assert set(options["options"]["packages"].split()) == wanted
    assert options["options"]["package_dir"].split() == ["tfmo_drive.experiments", "=", "experiments"]


def test_every_file_that_is_no_module_goes_into_the_wheel(options):
    data = {f"{package}/{pattern.strip()}" for package, patterns in options["options.package_data"].items()
            for pattern in patterns.split(",")}  # fmt: skip
    for path in (ROOT / "tfmo_drive").rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            package = ".".join(path.parent.relative_to(ROOT).parts)
            assert {f"{package}/*{path.suffix}", f"{package}/{path.name}"} & data, path


def test_no_package_called_experiments_lands_in_anyones_folder(options):
    assert not [name for name in options["options"]["packages"].split() if name.split(".")[0] != "tfmo_drive"]


def test_nothing_that_is_said_names_a_make_target():
    """Where the package is installed there is no Makefile; an experiment's notebook is read in the checkout."""
    targets = re.compile(r"`make |\bmake (train|export|sensitivity|ledger|lint|compare|npu|demo|smoke)\b")
    files = [path for path in (ROOT / "tfmo_drive").rglob("*") if path.suffix in (".py", ".j2", ".h", ".cc")]
    assert len(files) > 200
    assert not [path for path in files if targets.search(path.read_text(encoding="utf-8"))]


EXPERIMENT = """
from mine_beside import TASK
from tfmo_drive.experiment import Experiment
EXPERIMENT = Experiment(task=TASK)
"""


def test_an_experiment_of_ones_own_imports_what_lies_beside_it(tmp_path):
    (tmp_path / "mine.py").write_text(EXPERIMENT)
    (tmp_path / "mine_beside.py").write_text(
        "from tfmo_drive.tasks.classification import Classification\nTASK = Classification(image_size=40)\n"
    )
    assert experiment_flags.experiment(str(tmp_path / "mine.py")).task.image_size == 40
    (tmp_path / "broken.py").write_text("\n\nimport nothing_of_that_name\n")
    with pytest.raises(BadInput, match=r"broken\.py, line 3: ModuleNotFoundError"):
        experiment_flags.experiment(str(tmp_path / "broken.py"))


def test_what_lies_beside_ones_own_file_hides_nothing(tmp_path):
    """A numpy.py there is not the numpy that others import."""
    (tmp_path / "json.py").write_text("raise SystemExit('mine')\n")
    (tmp_path / "plain.py").write_text("import json\nEXPERIMENT = json.dumps({})\n")
    assert experiment_flags.experiment(str(tmp_path / "plain.py")) == "{}"


def test_a_board_of_ones_own_is_read_by_its_path(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import dataclasses\nfrom tfmo_drive.boards.stm32h743 import BOARD as OTHER\n"
        "BOARD = dataclasses.replace(OTHER, title='Mine')\n"
    )
    found = named(str(tmp_path / "mine.py"))
    assert found == dataclasses.replace(named("stm32h743"), title="Mine") and "mine" not in names()
    (tmp_path / "none.py").write_text("")
    with pytest.raises(BadInput, match="defines no BOARD"):
        named(str(tmp_path / "none.py"))
