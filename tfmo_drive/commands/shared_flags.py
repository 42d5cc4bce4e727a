"""Defines flags that several verbs have, so that the same thing is called the same in each.

A verb declares those it reads.
"""

from __future__ import annotations

from absl import flags

flags.DEFINE_string("out", None, "Folder for the pages. Default: runs/<verb>.")
flags.DEFINE_integer(
    "examples", None, "At most so many seeded examples. Default: 500 for sensitivity, 200 for ledger.", lower_bound=2
)
