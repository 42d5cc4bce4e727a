"""Everything public that a user calls is in an example of some docstring, and all examples of the package run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

import tfmo_drive as td

INHERITED = ("Artifact", "Criterion", "Examples", "FrameTask", "ImageTask", "Importance", "Measure", "NumberTask",
             "Step", "Target", "Task", "TrainedStep",
             "Distillable", "LocatesObjects", "OverTime", "Rendered")  # fmt: skip
"""What plug-ins of one's own inherit from or offer: CONTRIBUTING shows how."""
GIVEN = ("BadInput", "BrokenPromise", "Board", "Context", "Evaluation", "Preprocessing", "Result", "Trivial")
"""What is handed to a user, raised, or declared in a file of its own."""


def examples() -> dict[str, list[doctest.DocTest]]:
    """By module, its docstrings that have examples."""
    names = [one.name for one in pkgutil.walk_packages(td.__path__, "tfmo_drive.") if not one.name.endswith("__main__")]
    modules = {name: importlib.import_module(name) for name in names}
    finder = doctest.DocTestFinder(exclude_empty=True)
    return {name: [one for one in finder.find(module) if one.examples] for name, module in modules.items()
            if ">>> " in inspect.getsource(module)}  # fmt: skip


EXAMPLES = examples()


def test_what_a_user_calls_is_in_an_example():
    shown = "".join(one.source for tests in EXAMPLES.values() for test in tests for one in test.examples)
    called = {name for name in td.__all__ if callable(getattr(td, name))} - {*INHERITED, *GIVEN}
    assert len(called) > 50 and {*INHERITED, *GIVEN} <= set(td.__all__)
    assert not {name for name in called if f"td.{name}(" not in shown}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_run(name, brief_timing):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted and not found.failed
