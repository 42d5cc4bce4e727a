from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.splitting import SPLITS, sampled_blocks

SOURCE = Path("drive")


def words(**counts):
    return np.repeat([name.strip("_") for name in counts], list(counts.values())).astype("<U5")


def test_val_becomes_test_where_there_is_none_and_val_is_drawn_from_train():
    splits = words(train=60, val=10)
    places = sampled_blocks(splits, np.arange(70) // 3, SOURCE)
    assert (places[60:] == "test").all() and set(places[:60].tolist()) == {"train", "val"}
    assert (places == "val").sum() == 9  # 3 of the 20 blocks of train
    assert (splits == words(train=60, val=10)).all()


def test_a_given_test_split_stays_and_so_does_val_beside_it():
    places = sampled_blocks(words(train=60, test=10), np.arange(70), SOURCE)
    assert (places[60:] == "test").all() and (places[:60] == "val").sum() == 9
    whole = words(train=6, val=2, test=2)
    assert (sampled_blocks(whole, np.arange(10), SOURCE) == whole).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=3, max_size=40), st.integers(0, 5))
def test_blocks_are_drawn_whole_by_the_seed(lengths, seed):
    groups = np.repeat(np.arange(len(lengths)), lengths)
    free = np.full(len(groups), "", "<U5")
    places = sampled_blocks(free, groups, SOURCE, seed)
    assert all(len(set(places[groups == group].tolist())) == 1 for group in range(len(lengths)))
    assert set(places.tolist()) == set(SPLITS)
    assert (places == sampled_blocks(free, groups, SOURCE, seed)).all()


def test_too_few_blocks_to_draw_from_are_refused():
    with pytest.raises(BadInput, match="drive: no images for val, out of 40. Sampling a split needs at least 3 blocks"):
        sampled_blocks(np.full(40, "", "<U5"), np.arange(40) // 20, SOURCE)
