"""What a result is said to depend on is this program's, whatever it is installed in."""

from __future__ import annotations

import re
import subprocess

import pytest

from tfmo_drive.base import environment


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with one commit, in which a module of the name that the program's has is tracked."""
    module = tmp_path / "environment.py"
    module.write_text("1")
    named = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    for words in (["init", "-q"], ["add", "."], [*named, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(environment, "__file__", str(module))
    return module


def test_the_commit_is_that_of_the_checkout_and_says_where_files_differ(checkout):
    commit = environment.describe()["git_commit"]
    assert re.fullmatch("[0-9a-f]{12}", commit)
    checkout.write_text("2")
    assert environment.describe()["git_commit"] == f"{commit}+"


def test_a_program_installed_inside_somebodys_checkout_is_of_no_commit(checkout, monkeypatch):
    installed = checkout.with_name("site-packages") / "environment.py"
    installed.parent.mkdir()
    installed.write_text("1")
    monkeypatch.setattr(environment, "__file__", str(installed))
    assert environment.describe()["git_commit"] is None


def test_without_git_there_is_no_commit(checkout, monkeypatch):
    monkeypatch.setenv("PATH", str(checkout.parent))
    assert environment.describe()["git_commit"] is None


def test_a_package_that_is_not_installed_has_no_version(monkeypatch):
    monkeypatch.setattr(environment, "_PACKAGES", ("numpy", "no-such-package"))
    found = environment.versions()
    assert found["no-such-package"] is None and re.match(r"\d+\.\d+", found["numpy"])
