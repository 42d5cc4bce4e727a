"""Files of users' own: their classes find their source, and an error names its line however the file was given."""

import inspect

import pytest

from tfmo_drive.base.python_file import own_code, read
from tfmo_drive.contracts import BadInput
from tfmo_drive.steps.prune import Prune

OWN = """
from __future__ import annotations
import dataclasses
from typing import ClassVar
from tfmo_drive.steps.criteria import Criterion

@dataclasses.dataclass(frozen=True)
class Mine(Criterion):
    once: ClassVar[bool] = True
    def scores(self, model, weights, context):
        return {name: abs(weight.numpy()) for name, weight in weights.items()}
"""


def test_classes_in_a_file_of_ones_own_have_a_file_and_a_source(tmp_path):
    path = tmp_path / "with_a_class.py"
    path.write_text(OWN)
    first = read(path)
    assert inspect.getfile(first.Mine) == str(path)
    recipe = (Prune(sparsity=0.5, criterion=first.Mine()),)
    said = own_code(recipe)
    assert len(said) == 1 and said[0].startswith("@dataclasses.dataclass(frozen=True)\nclass Mine(Criterion):")
    assert own_code((Prune(sparsity=0.5),)) == []


def test_an_error_names_its_line_for_a_relative_path_too(tmp_path, monkeypatch):
    (tmp_path / "short.py").write_text("\n\nint(1, 2, 3)\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=r"^short\.py, line 3: TypeError: int\(\) takes at most 2"):
        read((tmp_path / "short.py").relative_to(tmp_path))
