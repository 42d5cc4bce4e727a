"""Copies of one file are found by their bytes, and stay in one split where splits are drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.layouts.test_known_layouts import written
from tfmo_drive.data.copies import joined, same_content
from tfmo_drive.data.layouts.listing import list_folder
from tfmo_drive.data.splitting import SPLITS


def test_only_equal_bytes_are_the_same(tmp_path):
    long = b"x" * 10_000
    contents = [b"", b"", b"a", b"b", b"a", long + b"1", long + b"2", long + b"1"]
    files = [tmp_path / str(number) for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    found = same_content([*files, tmp_path / "missing", tmp_path / "missing too"])
    assert found.tolist() == [0, 0, 2, 3, 2, 5, 6, 5, 8, 9]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30))
def test_joined_groups_share_no_content_and_keep_their_own(pairs):
    groups, contents = np.array(pairs, np.int64).T
    found = joined(groups, contents, np.arange(len(groups)))  # classes of one are never too few
    for first in range(len(pairs)):
        for second in range(first):
            if groups[first] == groups[second] or contents[first] == contents[second]:
                assert found[first] == found[second]
    assert (
        set(found.tolist()) <= set(groups.tolist()) and (joined(groups, np.arange(len(groups)), groups) == groups).all()
    )


def test_a_class_of_one_picture_alone_keeps_its_groups():
    groups, labels = np.arange(8), np.repeat([0, 1], 4)
    assert joined(groups, np.array([0, 0, 0, 0, 4, 4, 5, 6]), labels).tolist() == [0, 1, 2, 3, 4, 4, 6, 7]


@pytest.mark.parametrize("seed", range(3))
def test_no_copy_crosses_splits_that_are_drawn(tmp_path, seed):
    written(tmp_path, [f"{name}/{word}.png" for name in ("stop", "yield") for word in "abcdefghijklmnopqrst"])
    for number, file in enumerate(sorted(tmp_path.rglob("*.png"))):
        file.write_bytes(file.read_bytes() + bytes([number % 10]))  # two copies of each in a class
    listing = list_folder(tmp_path, seed=seed)
    held = {split: {file.read_bytes() for file in listing[split].files} for split in SPLITS}
    stop = {
        split: {file.read_bytes() for file in listing[split].files if file.parent.name == "stop"} for split in SPLITS
    }
    assert all(held.values()) and listing.sampled == ("val", "test")
    assert sum(map(len, stop.values())) == len(set.union(*stop.values()))
