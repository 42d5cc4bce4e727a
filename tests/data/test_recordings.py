import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmo_drive.data.recordings import blocks, drawn_whole, tracks

SIZE = (360, 480)


def test_a_recording_is_cut_in_the_order_of_its_numbers():
    names = [f"drive_{number}.png" for number in range(0, 8000, 10)]
    groups = blocks(names, [SIZE] * 800)
    assert groups.tolist() == np.repeat(np.arange(40), 20).tolist()  # drive_990 is before drive_1000
    assert blocks(names[::-1], [SIZE] * 800).tolist() == groups[::-1].tolist()


def test_a_small_set_is_cut_into_twenty_blocks():
    names = [f"drive_{number:03}.png" for number in range(60)]
    assert np.bincount(blocks(names, [SIZE] * 60)).tolist() == [3] * 20


def test_recordings_are_told_apart_by_what_is_before_their_numbers():
    names = [f"{camera}/{number}.png" for camera in ("left", "right") for number in range(50)]
    groups = blocks(names, [SIZE] * 100)
    assert not set(groups[:50].tolist()) & set(groups[50:].tolist())
    assert len(set(groups.tolist())) == 20


def test_photographs_of_many_sizes_are_no_recording():
    names = [f"{number:012}.jpg" for number in range(400)]
    sizes = [(480, 640), (640, 427)] * 200
    assert blocks(names, sizes).tolist() == list(range(400))
    assert len(set(blocks(names, [SIZE] * 400).tolist())) == 20


def test_names_without_numbers_are_blocks_of_their_own():
    assert sorted(blocks(["b.png", "a.png", "c.png"], [SIZE] * 3).tolist()) == [0, 1, 2]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3000)), min_size=1, max_size=300, unique=True))
def test_blocks_are_short_numbered_from_zero_and_contiguous(frames):
    groups = blocks([f"{drive}{number}.png" for drive, number in frames], [SIZE] * len(frames))
    assert set(groups.tolist()) == set(range(groups.max() + 1))
    assert np.bincount(groups).max() <= max(1, len(frames) // 20)
    in_order = groups[sorted(range(len(frames)), key=lambda index: frames[index])]
    assert (np.diff(in_order) >= 0).all()


def test_frames_of_one_track_and_copies_of_one_image_are_together():
    names = [f"{label}/{track:05}_{frame:05}.ppm" for label in range(2) for track in range(3) for frame in range(4)]
    found = tracks(names, np.repeat([0, 1], 12))
    assert found.tolist() == np.repeat(np.arange(6), 4).tolist()
    exported = [f"stop{number}_jpg.rf.{word}.jpg" for number in range(4) for word in ("0a1b", "77ff")]
    assert tracks(exported, np.zeros(8, np.int64)).tolist() == np.repeat(np.arange(4), 2).tolist()


def test_images_that_are_only_numbered_are_apart_and_few_tracks_are_cut():
    assert tracks([f"{number:04}.png" for number in range(9)], np.zeros(9, np.int64)).tolist() == list(range(9))
    found = tracks([f"drive_01_{number:04}.png" for number in range(200)], np.zeros(200, np.int64))
    assert len(set(found.tolist())) == 20 and (np.diff(found) >= 0).all()


@pytest.mark.parametrize("lengths, whole", [([10] * 10, True), ([10] * 9, False), ([90] + [10] * 9, False)])
def test_recordings_are_drawn_whole_where_there_are_enough_of_even_length(lengths, whole):
    recordings = np.repeat([f"drive{number}" for number in range(len(lengths))], lengths).tolist()
    groups = np.arange(len(recordings)) // 5
    found = drawn_whole(recordings, groups, np.ones(len(groups), bool))
    assert (len(set(found.tolist())) == len(lengths)) == whole and (whole or (found == groups).all())
