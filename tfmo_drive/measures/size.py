"""Measures the bytes of the file that ships, raw and compressed (what an update over the air costs)."""

from __future__ import annotations

import dataclasses
import gzip
from typing import Any

from tfmo_drive.contracts import Artifact, Context, Measure


@dataclasses.dataclass(frozen=True)
class Size(Measure):
    """Measures the bytes of a file, raw and compressed by gzip.

    Example:
        >>> import tfmo_drive as td
        >>> td.Size()
        Size()
    """

    has_section = True

    def __call__(self, artifact: Artifact, reference: Artifact, context: Context) -> dict[str, Any]:
        """Returns size_bytes, and gzip_bytes at level 9."""
        content = artifact.path.read_bytes()
        return {"size_bytes": len(content), "gzip_bytes": len(gzip.compress(content, 9))}
