"""The files that people look for in a repository agree with the program and with one another."""

import configparser
import re
from pathlib import Path

import yaml

import tfmo_drive

ROOT = Path(__file__).parents[1]
METADATA = configparser.ConfigParser()
METADATA.read(ROOT / "setup.cfg")


def read(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text())


def test_licence_is_the_same_everywhere():
    text = (ROOT / METADATA["metadata"]["license_files"]).read_text()
    assert "Apache License" in text and "Version 2.0" in text and "END OF TERMS AND CONDITIONS" in text
    assert METADATA["metadata"]["license"] == read("CITATION.cff")["license"] == "Apache-2.0"


def test_citation_is_of_this_version_and_says_what_the_format_asks_for():
    citation = read("CITATION.cff")
    assert citation["version"] == tfmo_drive.__version__
    assert all(citation[key] for key in ("cff-version", "message", "title", "authors"))


def test_hooks_and_ci_run_what_a_developer_runs():
    (hooks,) = (one["hooks"] for one in read(".pre-commit-config.yaml")["repos"])
    assert [hook["entry"] for hook in hooks] == ["make lint"]
    (job,) = read(".github/workflows/ci.yml")["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    python = next(step["with"]["python-version"] for step in job["steps"] if "with" in step)
    assert METADATA["options"]["python_requires"] == f">={python}"


def test_what_is_said_to_be_refused_or_run_is_called_so_in_the_program():
    text = (ROOT / "SECURITY.md").read_text()
    source = "".join(path.read_text() for path in (ROOT / "tfmo_drive").rglob("*.py"))
    for name in re.findall(r"`--(\w+)", text):
        assert f'"{name}"' in source, name
    for path in re.findall(r"`((?:tfmo_drive|data)/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path
