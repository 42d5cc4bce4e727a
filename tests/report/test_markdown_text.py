"""Users' texts in Markdown are shown as they are by two renderers, in a paragraph, a cell and as code."""

from __future__ import annotations

import html
import re

import markdown
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tfmo_drive.report.rendering.markdown_text import code, escaped

NASTY = (
    "<script>alert(1)</script>", "a|b", "`x`", "```", "**bold**", "_it_", "a_b_c", "[x](javascript:1)", "![x](y)",
    "\\|", "<!--", "&lt;b&gt;", "&#60;", "# title", "- item", "1. one", "+ x", "> quote", "~~gone~~", "<a@b.c>", "\\",
    "%s", "https://x.y", "www.x.y", "a@b.c", "$x$", "\n\n---\n", "</td>", "{.cls}", "[^1]", "\u2028", "speed_limit_30",
    "*/",
)  # fmt: skip
TEXTS = st.one_of(
    st.lists(st.sampled_from(NASTY), min_size=1, max_size=4).map("".join),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30),
)
RENDERERS = (
    MarkdownIt("gfm-like", {"linkify": False}).render,
    lambda text: markdown.markdown(text, extensions=["tables", "fenced_code"]),
)
KNOWN = {"p", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "h1", "strong", "code"}


def seen(page: str) -> list[str]:
    """Pieces of text between tags."""
    return [" ".join(html.unescape(piece).split()) for piece in re.split("<[^>]*>", page) if piece.strip()]


@given(text=TEXTS.filter(lambda text: text.split()))
@settings(max_examples=250, deadline=None)
@example(text="<script>alert(1)</script>")
@example(text="1. first")
def test_a_text_is_shown_as_it_is_and_no_tag_is_live(text):
    wanted = " ".join(text.split())
    page = (
        f"# {escaped(text)}\n\nClasses (2): {escaped(text)}, b.\n\n**{escaped(text)}** end\n\n| a | b |\n|---|---|\n"
        f"| {escaped(text)} | {code(text)} |\n\n- data: {escaped(text)}\n"
    )
    for render in RENDERERS:
        shown = render(page)
        tags = {tag.lower() for tag in re.findall(r"</?([A-Za-z!][\w-]*)[^>]*>", shown)}
        assert tags <= KNOWN, shown
        pieces = seen(shown)
        assert pieces == [
            wanted,
            f"Classes (2): {wanted}, b.",
            wanted,
            "end",
            "a",
            "b",
            wanted,
            wanted,
            f"data: {wanted}",
        ]


def test_plain_names_stay_readable():
    assert escaped("speed_limit_30 (km/h), no entry") == "speed_limit_30 (km/h), no entry"
    assert escaped("-1.3") == "-1.3" and escaped("0.5") == "0.5" and escaped("90.0 % (80.0 to 95.0)").endswith("95.0)")
    assert code("block1_conv/kernel") == "`block1_conv/kernel`"
