"""Markdown and terminal text: every section, well-formed tables, nothing from the data becomes markup."""

from __future__ import annotations

import html
import re

from tfmo_drive.report.document import Cell, Document, Section, Table
from tfmo_drive.report.rendering.markdown import markdown, table, terminal, terminal_text


def _tables(text: str) -> list[list[str]]:
    return [block.splitlines() for block in text.split("\n\n") if block.startswith("| ")]


def _cells(line: str) -> int:
    return line.count("|") - 1


def test_every_section_of_a_full_report_is_there(full_report):
    text = markdown(full_report)
    for title in ("Rows", "Expectations", "Worst classes", "Stages", "New mistakes", "Environment"):
        assert f"\n## {title}\n" in text
    for said in ("make train-pruned_quantized", "70 % zeros", "control", "take litert_int8", "200 of 1,055, seeded",
                 "94.6 % (92.7 to 96.2)", "-0.5 (-1.1 to +0.1)", "24.2 MB (3.9x)",
                 "93.4 %", "(2 threads)", "8.2 s", "| PASS |"):  # fmt: skip
        assert said in text


def test_layers_that_stayed_in_float_are_named_with_their_ratio(full_report):
    worst = [{"layer": f"conv{i}", "sqnr_db": float(i)} for i in range(7)]
    said = {"worst": worst, "feeding": ["stem"], "of": 71, "agreement": 0.995}
    full_report["rows"][3]["float_layers"] = said
    full_report["rows"][6]["float_layers"] = {**said, "worst": [], "feeding": []}
    lines = markdown(full_report).split("## Layers in float\n")[1].split("\n## ")[0]
    assert "conv0 0.0 dB, conv1 1.0 dB, conv2 2.0 dB, conv3 3.0 dB, conv4 4.0 dB and 2 more" in lines
    assert "8 of 71 (7 worst)" in lines and "0 of 71" in lines and "99.5 %" in lines
    assert "baseline/litert_int8" in lines and "prune/litert_int8" in lines and "float16" not in lines


def test_pictures_are_linked_only_when_drawn(full_report):
    assert "](figures/" not in markdown(full_report)
    assert markdown(full_report, ["curves"]).count("](figures/") == 1
    assert "](figures/curves.png)" in markdown(full_report, ["curves"])


def test_bare_report_shows_dashes_and_no_empty_section(bare_report):
    text = markdown(bare_report)
    assert "–" in text and "None" not in text and "nan" not in text
    assert re.findall(r"^## .*", text, re.M) == ["## Rows", "## Really smaller, really faster?", "## Environment"]


def test_table_lines_have_equal_cells_whatever_the_names_hold(full_report):
    full_report["rows"][1]["name"] = "a|b *c* <script> [x](y)\nz"
    full_report["skipped"][0]["reason"] = "line one\nline | two"
    text = markdown(full_report)
    for lines in _tables(text):
        assert len({_cells(line) for line in lines}) == 1
    assert "a|b *c* <script> [x](y) z" in html.unescape(text) and "<script>" not in text
    assert "line one line | two" in html.unescape(text)


def test_terminal_lines_fit_and_hold_every_row(full_report):
    full_report["rows"][1]["name"] = "a_stage_with_a_name_that_nobody_would_type_twice/litert_float32"
    text = terminal(full_report)
    assert max(map(len, text.splitlines())) <= 110
    for name in ("quantize_aware/litert_int8 *", "train/litert_float32", "a_stage_with"):
        assert name in text
    assert "baseline/litert_int16x8: scored on 200 of 1,055, seeded." in text


def test_a_documents_text_for_a_terminal_has_its_verdict_and_its_tables():
    shown = Table(("Stage", "Where", "Score"), ((Cell("a", "(b)"), Cell("x"), Cell("9.0 %", "(8.0 to 9.5)")),), 2)
    page = Document("title", ("It holds.", "word " * 40), (Section("One", "caption", table=shown), Section("Two", "c")))
    first, *wrapped, _, names, rule, line = terminal_text(page).splitlines()
    assert first == "It holds." and " ".join(wrapped).count("word") == 40 and max(map(len, wrapped)) <= 110
    assert (names, rule, line) == ("Stage  Where  Score", "-----  -----  -----", "a      x      9.0 %")


def test_text_table_aligns_words_left_and_numbers_right():
    rows = [{"name": "a", "x": "1"}, {"name": "bbb", "x": "1000"}]
    assert table(rows, ["name", "x"]).splitlines() == ["name     x", "----  ----", "a        1", "bbb   1000"]


def test_text_table_shortens_a_long_first_column_in_its_middle():
    line = table([{"name": "start" + "x" * 50 + "end", "y": "1"}], ["name", "y"], width=20).splitlines()[2]
    assert len(line) == 20 and line.startswith("start") and "..x" in line and "end  1" in line
