"""Describes what a result depends on besides its settings: machine, package versions, commit, command."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

_PACKAGES = (
    "tensorflow", "tf-keras", "tensorflow-model-optimization", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert",
    "numpy",
)  # fmt: skip
"""The distributions on whose version a model file, or a number of the report, depends."""


def describe() -> dict[str, Any]:
    """Returns date, cores, processor, Python, packages, git commit and command, in JSON types.

    The commit ends in "+" where the working tree differs from it.
    """
    return {
        "date": datetime.date.today().isoformat(),
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "python": platform.python_version(),
        "packages": versions(),
        "git_commit": _commit(),
        "command": _command(),
    }


def versions() -> dict[str, str | None]:
    """Returns the versions of the packages that results depend on, by name; None where one is not installed."""
    return {name: version(name) for name in _PACKAGES}


def _command() -> str:
    """Returns what was typed, without the folder that the program lies in.

    `python` stands before a script of a user's own.
    """
    verb = os.path.basename(sys.argv[0])  # "tfmo-drive run"
    return " ".join([*verb.split(), shlex.join(sys.argv[1:])]) if " " in verb else shlex.join(["python", *sys.argv])


def version(name: str) -> str | None:
    """Returns the version of an installed distribution, None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str | None:
    """Returns the commit of this program's checkout; None where it is installed, be it inside somebody's checkout."""
    tracked = ("ls-files", "--error-unmatch", Path(__file__).name)
    asked = [tracked, ("rev-parse", "--short=12", "HEAD"), ("status", "--porcelain", "--untracked-files=no")]
    found = []
    for words in asked:
        try:
            ran = subprocess.run(["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True)
        except OSError:  # there is no git
            return None
        if ran.returncode:
            return None
        found.append(ran.stdout.strip())
    return found[1] + ("+" if found[2] else "")
