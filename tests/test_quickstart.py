"""The notebook tells the whole story: it runs from its first cell to its last, and keeps no outputs."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import matplotlib
import pytest

NOTEBOOK = Path(__file__).parents[1] / "experiments" / "quickstart.ipynb"
TINY = "IMAGES = {'train': 256, 'val': 64, 'test': 64}\nEPOCHS = 2"
"""In place of the cell with the tag "parameters", as papermill does it."""


@pytest.fixture(scope="module")
def cells() -> list[dict]:
    return json.loads(NOTEBOOK.read_text())["cells"]


def test_outputs_are_stripped(cells):
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 5 and len(cells) > len(code)
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert len({cell["id"] for cell in cells}) == len(cells)


def test_it_runs_from_the_first_cell_to_the_last(cells, tmp_path, monkeypatch, capsys, brief_timing):
    from matplotlib import pyplot

    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    shown = []
    monkeypatch.setattr(pyplot, "show", lambda: shown.append(pyplot.gcf()) or pyplot.close())
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", ())]
    assert len(tagged) == 1
    assert names("".join(tagged[0]["source"])) == names(TINY)
    place = {}
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            source = TINY if cell in tagged else "".join(cell["source"])
            exec(compile(source, f"cell {number}", "exec"), place)
    assert len(shown) == 3 and "compressed/litert_int8" in capsys.readouterr().out
    assert (tmp_path / "quickstart_report" / "report.html").exists()
    assert str(place["result"].rows).count("\n") > 5 and place["result"].best.path.exists()


def names(source: str) -> list[str]:
    """What a cell assigns."""
    return [one.targets[0].id for one in ast.parse(source).body]
