"""Where results live that every run may use again: decoded images, teachers' logits."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """$TFMO_DRIVE_CACHE, or ~/.cache/tfmo_drive."""
    return Path(os.environ.get("TFMO_DRIVE_CACHE") or "~/.cache/tfmo_drive").expanduser()
