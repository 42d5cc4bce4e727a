"""What the tests of layouts of boxes share."""

import pytest
from absl import logging


@pytest.fixture
def logged(monkeypatch):
    """The lines that are logged."""
    lines = []
    monkeypatch.setattr(logging, "log", lambda level, text, *values: lines.append(text % values))
    return lines
