"""Whatever a class is called, the report shows it as text: in Markdown, HTML, a terminal and plots."""

import html as entities
import re

import numpy as np
import pytest

from tfmo_drive.data.class_names import refuse_unfit
from tfmo_drive.report.plots.figures import class_deltas
from tfmo_drive.report.rendering.html import html
from tfmo_drive.report.rendering.markdown import markdown, terminal
from tfmo_drive.scores import pictures

NAMES = ("<script>alert(1)</script>", "a|b", "$x^$", r"\frac{", "```", "`x`", "*b*", "_i_", "~~s~~", "&lt;", "[l](j:x)",
         "{{ 7 * 7 }}", "%s %d", "停", "été", "??/", "*/", "'\"", "#1", "![i](u)", "x" * 200)  # fmt: skip


@pytest.fixture
def named_report(full_report):
    refuse_unfit("test", NAMES, said=True)
    for row in full_report["rows"]:
        row["per_class"] = {
            name: {"score": 0.5, "delta": -0.01 * (place + 1) * (row is not full_report["rows"][0]), "examples": 9}
            for place, name in enumerate(NAMES)
        }
    return full_report


def test_names_are_text_in_markdown(named_report):
    text = markdown(named_report)
    lines = text.split("## Worst classes")[1].split("\n## ")[0].splitlines()
    table = [line for line in lines if line.startswith("| ")]
    assert len({line.count("|") for line in table}) == 1
    bare = [re.sub(r"&(#\d+|amp|lt|gt);", "", line) for line in table[2:]]
    assert not any(re.search(r"[<>`*~$\[\]&\\]", line.replace("**", "")) for line in bare), bare


def test_names_are_text_in_html(named_report):
    page = html(named_report, {})
    assert "<script>alert" not in page
    plain = entities.unescape(re.sub("<wbr>", "", page))
    assert all(name in plain for name in NAMES[:12])


def test_names_are_drawn_and_printed(named_report):
    assert class_deltas(named_report["rows"][-1])[:4] == b"\x89PNG"
    assert terminal(named_report).count("\n") < 80
    boxes, kinds = np.full((len(NAMES), 4), (1.0, 1.0, 20.0, 20.0)), np.arange(len(NAMES))
    assert pictures.boxed(np.zeros((64, 64, 3), np.uint8), boxes, kinds, NAMES).shape[2] == 3
