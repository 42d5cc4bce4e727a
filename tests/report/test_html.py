"""The page is whole in itself, safe against what names hold, and shows every section."""

from __future__ import annotations

import html as entities
import re
from html.parser import HTMLParser

import pytest

from tfmo_drive.report.plots.figures import figures
from tfmo_drive.report.rendering.html import html

VOID = {"meta", "img", "wbr", "br", "link"}


class _Balanced(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.sources += [value for name, value in attributes if name in ("src", "href", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def page(full_report, drawn) -> str:
    return html(full_report, drawn)


def test_tags_close_in_the_order_they_open(page):
    parser = _Balanced()
    parser.feed(page)
    assert parser.open == []


def test_nothing_is_fetched_from_anywhere(page):
    parser = _Balanced()
    parser.feed(page)
    assert len(parser.sources) == 6
    assert all(source.startswith("data:image/png;base64,") for source in parser.sources)
    assert not re.search(r"https?://|@import|url\(", page)


def test_page_follows_the_readers_light_or_dark(page):
    assert "prefers-color-scheme: dark" in page and 'name="color-scheme" content="light dark"' in page


def test_plots_turn_dark_with_the_page_and_photographs_keep_their_colours(page):
    plots = {alt: bool(plot) for plot, alt in re.findall(r'<img( class="plot")? src="[^"]*"[^>]* alt="([^"]*)"', page)}
    assert len(plots) == 6 and [alt for alt, plot in plots.items() if not plot] == [
        next(alt for alt in plots if alt.startswith("Images that ") and "worse than the float artifact" in alt)
    ]
    assert re.search(r"prefers-color-scheme: dark\) \{ img.plot \{ filter: invert", page)


def test_whether_an_expectation_is_met_stands_first(page):
    rows = page[page.index("<h2>Expectations</h2>") :].split("</tbody>")[0]
    assert re.findall(r'<tr>\s*<th scope="row" class="text good" data-value="1">([^<]*)<', rows) == ["PASS"] * 3


def test_verdict_comes_before_the_table_and_settings_are_folded(page):
    assert page.index("-0.5") < page.index("<table>")
    folded = page[page.index("<details>") :]
    assert "All settings" in folded and "learning_rate" in folded and "Every class in every row" in folded
    assert "wild animals crossing" in folded


def test_names_from_the_data_cannot_become_markup(full_report):
    evil = "<script>alert(1)</script>"
    full_report["experiment"] = evil
    full_report["rows"][1]["name"] = evil
    full_report["rows"][7]["per_class"] = {evil: {"score": 0.5, "examples": 4, "delta": -0.5}}
    text = html(full_report, {})
    assert "<script>alert" not in text
    assert entities.escape(evil) in text


def test_bare_report_makes_a_page_without_empty_sections(bare_report):
    text = html(bare_report, figures(bare_report))
    assert re.findall(r"<h2>(.*?)</h2>", text) == [
        "Rows",
        "Really smaller, really faster?",
        "Score against cost",
        "Environment",
    ]
    assert ">None<" not in text


def test_missed_expectation_turns_the_verdict_bad(full_report):
    assert 'class="verdict good"' in html(full_report, {})
    full_report["expect"][1]["passed"] = False
    assert 'class="verdict bad"' in html(full_report, {})
