"""The built-in scenes: the same numbers give the same pixels, and the truth is what was drawn."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.scenes.contact_sheet import contact_sheet
from tfmo_drive.contracts import BadInput
from tfmo_drive.scenes import scenes
from tfmo_drive.scenes.layout import Thing, sample_layout
from tfmo_drive.scenes.light import Conditions

INDICES = st.integers(0, 10_000)
SEMANTIC_OF = {"car": "vehicle", "truck": "vehicle", "pedestrian": "pedestrian", "cyclist": "cyclist"}
ROAD_USERS = {name: scenes.SEMANTIC_CLASSES.index(name) for name in ("vehicle", "pedestrian", "cyclist")}


def truth(scene: scenes.Scene) -> tuple:
    return scene.objects, scene.mask.tobytes(), scene.instances.tobytes(), scene.lanes.tobytes(), scene.steering


def rendered(layout):
    conditions = Conditions("clear", "day", 0.0)
    return scenes.render(layout, conditions, (96, 160), np.random.default_rng(0))


@given(INDICES, INDICES)
@settings(max_examples=10, deadline=None)
def test_same_seed_and_index_give_the_same_scene(seed, index):
    first, again = (scenes.draw(seed, index, (64, 96)) for _ in range(2))
    assert np.array_equal(first.image, again.image)
    assert truth(first) == truth(again)


def test_different_seeds_and_indices_give_different_scenes():
    images = {scenes.draw(seed, index, (48, 64)).image.tobytes() for seed in range(4) for index in range(8)}
    assert len(images) == 32


@pytest.mark.parametrize("size", [(32, 32), (32, 96), (96, 32), (75, 211), (480, 640), (1000, 1000)])
def test_any_size_works(size):
    scene = scenes.draw(3, 5, size)
    assert scene.image.shape == (*size, 3) and scene.image.dtype == np.uint8
    assert scene.mask.shape == scene.lanes.shape == scene.instances.shape == size
    assert scene.image.std() > 5 and scene.mask.max() < len(scenes.SEMANTIC_CLASSES)


@given(INDICES)
@settings(max_examples=40, deadline=None)
def test_boxes_and_visible_fractions_are_those_of_the_pixels(index):
    scene = scenes.draw(11, index, (120, 200))
    assert scene.instances.max() == len(scene.objects)
    for number, thing in enumerate(scene.objects, start=1):
        rows, columns = np.nonzero(scene.instances == number)
        bounds = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        x0, y0, x1, y1 = thing.box
        assert 0 <= x0 < x1 <= 200 and 0 <= y0 < y1 <= 120
        assert x0 <= bounds[0] and y0 <= bounds[1] and bounds[2] <= x1 and bounds[3] <= y1
        assert 0 < thing.visible <= 1
        assert thing.kind in scenes.OBJECT_KINDS and thing.distance_m > 0
        if thing.visible == 1:
            assert bounds == thing.box


@given(INDICES)
@settings(max_examples=25, deadline=None)
def test_hidden_parts_count_as_if_the_object_stood_alone(index):
    scene = scenes.draw(12, index, (120, 200))
    for number, thing in enumerate(scene.objects, start=1):
        alone = next(
            other
            for candidate in scene.layout.things
            if candidate.kind == thing.kind and candidate.z == thing.distance_m
            for other in [rendered_alone(scene, candidate)]
        )
        assert alone.objects[0].box == thing.box and alone.objects[0].visible == 1
        whole = np.count_nonzero(alone.instances)
        assert thing.visible == pytest.approx(np.count_nonzero(scene.instances == number) / whole)


def rendered_alone(scene, thing):
    layout = dataclasses.replace(scene.layout, things=(thing,))
    return scenes.render(layout, Conditions("fog", "night", 1.0), scene.mask.shape, np.random.default_rng(1))


@given(INDICES)
@settings(max_examples=25, deadline=None)
def test_road_users_in_the_mask_are_exactly_the_objects(index):
    scene = scenes.draw(13, index, (96, 160))
    for semantic, number in ROAD_USERS.items():
        owners = [k for k, thing in enumerate(scene.objects, 1) if SEMANTIC_OF.get(thing.kind) == semantic]
        assert np.array_equal(scene.mask == number, np.isin(scene.instances, owners))
    marking = scenes.SEMANTIC_CLASSES.index("lane marking")
    assert np.array_equal(scene.lanes > 0, scene.mask == marking)


def test_most_scenes_show_road_users_lanes_and_partly_hidden_things():
    drawn = [scenes.draw(2, index, (96, 160)) for index in range(40)]
    kinds = Counter(thing.kind for scene in drawn for thing in scene.objects)
    assert set(kinds) == set(scenes.OBJECT_KINDS)
    assert sum(bool(scene.objects) for scene in drawn) >= 36
    assert all(len(np.unique(scene.lanes)) >= 3 for scene in drawn)
    hidden = sum(thing.visible < 0.8 for scene in drawn for thing in scene.objects)
    assert hidden > 0.05 * kinds.total()
    assert {scene.weather for scene in drawn} == set(scenes.WEATHERS)
    assert {scene.time_of_day for scene in drawn} == set(scenes.TIMES_OF_DAY)


@given(INDICES)
@settings(max_examples=10, deadline=None)
def test_weather_and_night_change_the_image_and_not_the_truth(index):
    day, *others = (
        scenes.draw(4, index, (64, 96), weather, time)
        for weather, time in (("clear", "day"), ("fog", "day"), ("rain", "day"), ("clear", "night"))
    )
    for other in others:
        assert truth(other) == truth(day)
        assert np.abs(other.image.astype(int) - day.image).mean() > 3
    assert others[2].image.mean() < 0.7 * day.image.mean()


def test_fog_takes_contrast_from_far_things_more_than_from_near_ones():
    layout = sample_layout(np.random.default_rng(9))

    def contrast(z, weather):
        alone = dataclasses.replace(layout, things=(Thing("truck", 0.0, z, (0.0,) * 8),))
        scene = scenes.render(alone, Conditions(weather, "day", 0.0), (300, 500), np.random.default_rng(0))
        return scene.image[scene.instances == 1].std()

    kept = [contrast(z, "fog") / contrast(z, "clear") for z in (8.0, 50.0)]
    assert kept[1] < 0.75 * kept[0]


@given(st.floats(0.002, 0.03), st.floats(0.1, 1.0), INDICES)
@settings(max_examples=20, deadline=None)
def test_steering_follows_the_bend_and_leads_back_to_the_lane(curvature, offset, index):
    layout = sample_layout(np.random.default_rng([5, index]))

    def steering(**changes):
        straight = dataclasses.replace(layout.road, curvature=0.0, heading=0.0, offset=0.0)
        return rendered(dataclasses.replace(layout, road=dataclasses.replace(straight, **changes))).steering

    assert steering() == 0
    assert steering(curvature=curvature) > 0 > steering(curvature=-curvature)
    assert steering(offset=offset) < 0 < steering(offset=-offset)
    assert -1 <= steering(curvature=10 * curvature) <= 1


def test_the_bend_is_drawn_the_way_the_wheel_turns():
    layout = sample_layout(np.random.default_rng(8))
    road = dataclasses.replace(layout.road, heading=0.0, offset=0.0, curvature=0.015)
    columns = []
    for sign in (-1, 1):
        turned = dataclasses.replace(layout, things=(), road=dataclasses.replace(road, curvature=sign * 0.015))
        columns.append(np.nonzero(rendered(turned).lanes[:60])[1].mean())
    assert columns[0] < columns[1]


def test_patch_classes_are_drawn_about_equally():
    count = 900
    labels = Counter(scenes.patch(6, index, 16)[1] for index in range(count))
    assert set(labels) == set(range(len(scenes.PATCH_CLASSES)))
    expected = count / len(scenes.PATCH_CLASSES)
    chi_square = sum((n - expected) ** 2 / expected for n in labels.values())
    assert chi_square < 26  # the 0.1 % quantile for 8 degrees of freedom


@given(INDICES, st.integers(16, 120), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_patches_are_deterministic_and_show_their_object(index, size, difficulty):
    image, label, attributes = scenes.patch(7, index, size, difficulty)
    again, *rest = scenes.patch(7, index, size, difficulty)
    assert np.array_equal(image, again) and rest == [label, attributes]
    assert image.shape == (size, size, 3) and image.dtype == np.uint8
    assert attributes["visible"] >= scenes.LEAST_VISIBLE
    assert 3 <= attributes["pixels"] <= size
    assert attributes["weather"] in scenes.WEATHERS and attributes["time_of_day"] in scenes.TIMES_OF_DAY


def test_difficulty_makes_objects_smaller_and_more_hidden():
    def hard(difficulty):
        drawn = [scenes.patch(8, index, 32, difficulty)[2] for index in range(150)]
        return np.mean([a["pixels"] for a in drawn]), np.mean([a["visible"] for a in drawn])

    (easy_pixels, easy_visible), (pixels, visible) = hard(0.0), hard(1.0)
    assert pixels < 0.9 * easy_pixels and visible < easy_visible - 0.02


def test_what_cannot_be_drawn_is_named():
    with pytest.raises(BadInput, match="at least 32 px, got 8"):
        scenes.draw(0, 0, (8, 64))
    with pytest.raises(BadInput, match="weather must be one of clear, fog, rain, got 'snow'"):
        scenes.draw(0, 0, (64, 64), weather="snow")
    with pytest.raises(BadInput, match="difficulty must be in"):
        scenes.patch(0, 0, 48, difficulty=1.5)
    with pytest.raises(BadInput, match="0 or more, got seed -1"):
        scenes.patch(-1, 0, 48)


def test_contact_sheet_is_a_small_picture(tmp_path):
    path = tmp_path / "scenes.png"
    contact_sheet(path, seed=1)
    with Image.open(path) as sheet:
        assert 950 <= sheet.width <= 1050 and sheet.height > 800
    assert path.stat().st_size < 700_000
    assert [entry.name for entry in tmp_path.iterdir()] == ["scenes.png"]


def test_importing_the_scenes_does_not_import_tensorflow():
    code = "import sys, tfmo_drive.scenes.scenes; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
