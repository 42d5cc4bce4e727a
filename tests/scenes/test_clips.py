"""Moving scenes: the same clip for the same numbers, one rigid street, things that keep their name and never jump."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmo_drive.contracts import BadInput
from tfmo_drive.scenes import clips, scenes
from tfmo_drive.scenes.canvas import cut_off
from tfmo_drive.scenes.clips import FAR_M, FRAMES_PER_SECOND, OTHERS_FAR_M, clip
from tfmo_drive.scenes.layout import LENGTH, NEAREST_M, Thing, sample_layout
from tfmo_drive.scenes.light import Conditions

NUMBERS = st.integers(0, 500)
SIZE = (120, 200)
VEHICLES = ("car", "truck")


def layouts(number, frames):
    """What is true of a clip before it is drawn: 100 times as quick."""
    drive = clips._sample_drive(0, number)
    return drive, [drive.layout(frame / FRAMES_PER_SECOND) for frame in frames]


def truth(scene):
    return scene.objects, scene.mask.tobytes(), scene.instances.tobytes(), scene.lanes.tobytes(), scene.steering


def rendered(layout, size=SIZE):
    return scenes.render(layout, Conditions("clear", "day", 0.0), size, np.random.default_rng(0))


@given(NUMBERS)
@settings(max_examples=5, deadline=None)
def test_a_frame_is_the_same_however_many_are_asked_for(number):
    few, many = list(clip(1, number, 2, (48, 64))), list(clip(1, number, 5, (48, 64)))
    assert (len(few), len(many)) == (2, 5)
    for first, again in zip(few, many, strict=False):
        assert np.array_equal(first.image, again.image) and truth(first) == truth(again)


def test_clips_differ_by_seed_and_number_and_from_single_frames():
    images = {next(clip(seed, number, 1, (48, 64))).image.tobytes() for seed in range(3) for number in range(3)}
    images |= {scenes.draw(seed, number, (48, 64)).image.tobytes() for seed in range(3) for number in range(3)}
    assert len(images) == 18


@given(NUMBERS)
@settings(max_examples=5, deadline=None)
def test_weather_and_time_stay_and_change_no_truth(number):
    sampled = list(clip(2, number, 3, (48, 80)))
    assert len({(scene.weather, scene.time_of_day) for scene in sampled}) == 1
    asked = list(clip(2, number, 3, (48, 80), "fog", "night"))
    assert all((scene.weather, scene.time_of_day) == ("fog", "night") for scene in asked)
    assert [truth(scene) for scene in sampled] == [truth(scene) for scene in asked]


@pytest.mark.parametrize("number", range(4))
def test_grain_is_new_in_every_frame_and_the_light_is_not(number):
    drive, (layout,) = layouts(number, [0])
    conditions = dataclasses.replace(drive.conditions, weather="clear", time_of_day="day")
    first, second = (scenes.render(layout, conditions, SIZE, np.random.default_rng(k)).image for k in range(2))
    assert np.abs(first.astype(int) - second).mean() > 0.5
    assert first.mean() == pytest.approx(second.mean(), abs=0.5)


@given(NUMBERS)
@settings(max_examples=15, deadline=None)
def test_steering_changes_smoothly_and_uses_its_range(number):
    _, moments = layouts(number, range(120))
    steering = np.array([moment.road.steering() for moment in moments])
    assert np.abs(np.diff(steering)).max() < 0.05 and np.ptp(steering) > 0.02
    assert np.abs(np.diff(steering, n=2)).max() < 0.01


def test_bends_go_both_ways():
    steering = [moment.road.steering() for number in range(40) for moment in layouts(number, [0, 50])[1]]
    assert min(steering) < -0.3 and max(steering) > 0.3


@given(NUMBERS, st.floats(0, 60))
@settings(max_examples=40, deadline=None)
def test_the_road_is_one_rigid_street(number, seconds):
    """What lies z ahead now has the curvature that the camera meets there; the sway is what the camera's axis says."""
    drive, _ = layouts(number, [])
    road, z, step = drive.layout(seconds).road, 30.0, 0.01
    later = drive.layout(seconds + z / drive.speed).road
    bent = (road.x(0, z + 1) - 2 * road.x(0, z) + road.x(0, z - 1)) / 1
    assert bent == pytest.approx(later.curvature, abs=1e-4)
    assert road.x(1.5, 0.0) == pytest.approx(1.5 - road.offset)
    aside = drive.layout(seconds + step / drive.speed).road.offset - road.offset
    assert aside / step == pytest.approx(-road.heading, abs=1e-4)
    assert abs(road.offset) < 0.45 and abs(road.heading) < 0.06


@given(NUMBERS)
@settings(max_examples=15, deadline=None)
def test_things_appear_far_away_and_leave_behind_the_camera(number):
    _, moments = layouts(number, range(100, 160))
    for before, after in zip(moments, moments[1:], strict=False):
        old, new = ({thing.identity: thing for thing in moment.things} for moment in (before, after))
        assert len(new) == len(after.things)
        for identity in new.keys() - old.keys():
            assert new[identity].z > FAR_M.get(new[identity].kind, OTHERS_FAR_M) - 3
        for identity in old.keys() - new.keys():
            assert old[identity].z + LENGTH.get(old[identity].kind, 0.0) < 3
        for identity in old.keys() & new.keys():
            assert old[identity].kind == new[identity].kind
            assert abs(old[identity].z - new[identity].z) < 3 and abs(old[identity].across - new[identity].across) < 0.2


@given(NUMBERS)
@settings(max_examples=15, deadline=None)
def test_nothing_is_driven_over(number):
    _, moments = layouts(number, range(0, 200, 2))
    for moment in moments:
        for thing in moment.things:
            if thing.kind not in VEHICLES and -1 < thing.z < 2:
                assert abs(moment.road.x(thing.across, thing.z)) > 1.15, thing
        vehicles = [thing for thing in moment.things if thing.kind in VEHICLES]
        for one in vehicles:
            assert abs(one.across) > 2 or one.z >= 7
            others = [abs(one.z - other.z) for other in vehicles if other is not one]
            across = [abs(one.across - other.across) for other in vehicles if other is not one]
            assert all(gap > 8 or aside > 2 for gap, aside in zip(others, across, strict=True))


def test_the_street_does_not_empty_and_all_kinds_come():
    kinds = Counter()
    for number in range(20):
        _, moments = layouts(number, [0, 300, 900])
        for moment in moments:
            near = [thing.kind for thing in moment.things if 0 < thing.z < 100]
            assert len(near) >= 4
            kinds.update(near)
    assert set(scenes.OBJECT_KINDS) | {"tree", "pole", "building"} == set(kinds)


def test_pedestrians_cross_quiet_streets_from_kerb_to_kerb():
    crossed = 0
    for number in range(30):
        drive, moments = layouts(number, range(0, 200, 8))
        if drive.quiet:
            assert not any(thing.kind in VEHICLES for moment in moments for thing in moment.things)
        ways = {}
        for moment in moments:
            for thing in moment.things:
                if thing.kind == "pedestrian":
                    ways.setdefault(thing.identity, []).append(thing.across)
        road = drive.street.road
        crossed += sum(min(way) < road.left and max(way) > road.right for way in ways.values())
        if not drive.quiet:
            assert not any(road.left < across < road.right for way in ways.values() for across in way)
    assert crossed >= 5


def whole(thing):
    """Whether the box is not cut by the image's edge, and large enough for a pixel to be a small part of it."""
    x0, y0, x1, y1 = thing.box
    return x0 > 0 and y0 > 0 and x1 < SIZE[1] and y1 < SIZE[0] and y1 - y0 > 8


@given(NUMBERS)
@settings(max_examples=6, deadline=None)
def test_boxes_of_one_object_change_smoothly(number):
    drawn = list(clip(3, number, 12, SIZE, "clear", "day"))
    for before, after in zip(drawn, drawn[1:], strict=False):
        later = {thing.identity: thing for thing in after.objects}
        assert len(later) == len(after.objects) and None not in later
        for old in filter(whole, before.objects):
            new = later.get(old.identity)
            if new is None or not whole(new):
                continue
            assert new.kind == old.kind
            heights = [thing.box[3] - thing.box[1] for thing in (old, new)]
            assert heights[1] == pytest.approx(heights[0] * old.distance_m / new.distance_m, abs=2.5)
            if old.distance_m > 20:
                assert np.abs(np.subtract(old.box, new.box)).max() < 10


@given(NUMBERS)
@settings(max_examples=6, deadline=None)
def test_what_is_near_and_whole_is_still_there_in_the_next_frame(number):
    drawn = list(clip(4, number, 12, SIZE, "clear", "day"))
    for before, after in zip(drawn, drawn[1:], strict=False):
        ahead = {thing.identity for thing in after.layout.things if thing.z > NEAREST_M}
        for old in filter(whole, before.objects):
            assert old.identity in ahead


@pytest.mark.parametrize("kind", ["car", "truck"])
@pytest.mark.parametrize("across", [-3.4, 3.4])
def test_a_vehicle_that_is_passed_leaves_bit_by_bit(kind, across):
    layout = sample_layout(np.random.default_rng(0))
    road = dataclasses.replace(layout.road, curvature=0.0, heading=0.0, offset=0.0)
    areas = []
    for z in np.arange(8, -9, -0.25):
        one = dataclasses.replace(layout, road=road, things=(Thing(kind, across, float(z), (0.3,) * 8),), turned=0.0)
        scene = rendered(one)
        areas.append(np.count_nonzero(scene.instances))
        assert all(thing.distance_m >= NEAREST_M for thing in scene.objects)
    areas = np.array(areas) / np.prod(SIZE)
    assert areas.max() > 0.03 and areas[-1] == 0
    assert np.abs(np.diff(areas)).max() < 0.035


def test_who_stands_before_a_house_is_not_hidden_by_it():
    layout = sample_layout(np.random.default_rng(0))
    road = dataclasses.replace(layout.road, curvature=0.0, heading=0.0, offset=0.0)
    things = (Thing("building", 8.0, 6.0, (0.5,) * 8), Thing("pedestrian", 6.0, 10.0, (0.5,) * 8))
    (walker,) = rendered(dataclasses.replace(layout, road=road, things=things, turned=0.0)).objects
    assert walker.visible == 1
    (walker,) = rendered(dataclasses.replace(layout, road=road, things=things)).objects
    assert walker.visible < 0.5  # in single frames, see Layout.far_to_near


def test_houses_and_lamps_keep_to_their_side_of_the_road_in_a_bend():
    layout = sample_layout(np.random.default_rng(0))
    road = dataclasses.replace(layout.road, curvature=-0.02, heading=0.0, offset=0.0)
    for turned, side in ((0.0, 1), (None, -1)):
        bent = dataclasses.replace(layout, road=road, turned=turned)
        assert bent.side(Thing("building", 9.0, 60.0, (0.5,) * 8)) == side


@given(st.floats(0, 50))
@settings(max_examples=20, deadline=None)
def test_dashes_come_nearer_by_what_was_driven(travelled):
    layout = sample_layout(np.random.default_rng(0))
    road = dataclasses.replace(layout.road, curvature=0.0, heading=0.0, offset=0.0, travelled=travelled)
    lanes = rendered(dataclasses.replace(layout, road=road, things=()), (240, 400)).lanes
    camera, period = layout.camera(240, 400), 2.5 * road.dash
    starts = [start for start in period * np.arange(40) - travelled if 4 < start < 12]
    for start in starts:
        for z, line in ((start + 0.5 * road.dash, 2), (start + 1.75 * road.dash, 0)):
            x, y = camera.project(road.x(road.left + road.lane_width, z), 0.0, z)
            assert lanes[int(y), int(x)] == line


def test_hills_move_left_as_the_camera_turns_right():
    layout = dataclasses.replace(sample_layout(np.random.default_rng(0)), things=(), city=False, clouds=())
    focal = layout.camera(*SIZE).focal

    def ridge(turned):
        mask = rendered(dataclasses.replace(layout, turned=turned)).mask
        return (mask == 0).sum(axis=0)

    assert np.array_equal(ridge(0.3)[20:], ridge(0.3 + 20 / focal)[:-20]) and np.ptp(ridge(0.3)) > 0


def test_planes_are_cut_off_at_the_camera_by_hand():
    square = [(1.0, 0.0, -2.0), (1.0, 0.0, 2.0), (1.0, 2.0, 2.0), (1.0, 2.0, -2.0)]
    assert cut_off(square, -3.0) == square and cut_off(square, 3.0) == []
    assert cut_off(square, 1.0) == [(1.0, 0.0, 1.0), (1.0, 0.0, 2.0), (1.0, 2.0, 2.0), (1.0, 2.0, 1.0)]


def test_what_cannot_be_drawn_is_named_before_the_first_frame():
    with pytest.raises(BadInput, match="at least 32 px, got 8"):
        clip(0, 0, 3, (8, 64))
    with pytest.raises(BadInput, match="at least 1 frame, got 0"):
        clip(0, 0, 0, (48, 64))
    with pytest.raises(BadInput, match="weather must be one of clear, fog, rain, got 'snow'"):
        clip(0, 0, 3, (48, 64), weather="snow")
