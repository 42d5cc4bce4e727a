"""Drawings: in the right place, in the right colour, the image underneath still there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tfmo_drive.data.lanes import LANES
from tfmo_drive.scores import lettering, pictures
from tfmo_drive.scores.pictures import COLOURS

GREY = np.full((40, 80, 3), 90, np.uint8)


def drawn(image):
    """bool [h, w]: which pixels differ from the grey under them."""
    return (image != 90).any(axis=-1)


@pytest.mark.parametrize(("width", "times"), [(16, 20), (80, 4), (200, 2), (320, 1), (640, 1)])
def test_small_images_are_enlarged_a_whole_number_of_times(width, times):
    image = np.random.default_rng(0).integers(0, 255, (10, width, 3), np.uint8)
    larger, found = pictures.enlarged(image)
    assert found == times and larger.size == (width * times, 10 * times)
    if times == 1:
        assert np.array_equal(larger, image)


def test_a_box_is_drawn_on_its_edges_in_its_classs_colour():
    image = pictures.boxed(GREY, np.float32([[10, 16, 30, 36]]), np.array([1]), ["car", "truck"])
    assert image.dtype == np.uint8 and image.shape == (160, 320, 3)
    assert (image[64:144, 40] == COLOURS[1]).all() and (image[143, 60:110] == COLOURS[1]).all()
    assert not drawn(image[80:140, 50:110]).any(), "the inside stays"


def test_every_box_is_drawn_even_one_of_no_area_or_at_the_border():
    boxes = np.float32([[5, 20, 5, 20], [79, 39, 80, 40], [0, 0, 80, 40], [30, 20, 20, 10]])
    image = pictures.boxed(GREY, boxes, np.array([0, 11, 2, 3]), [str(i) for i in range(12)])
    for label in (0, 11, 2, 3):
        assert (image == pictures.colour(label)).all(axis=-1).any(), label
    assert not drawn(pictures.boxed(GREY, np.zeros((0, 4)), np.zeros(0, int), [])).any()


def test_a_mask_tints_what_it_knows():
    mask = np.full((40, 320), 255, np.uint8)
    mask[:, :100] = 1
    image = pictures.masked(np.full((40, 320, 3), 100, np.uint8), mask, ["sky", "road"], strength=0.5)
    assert (image[:, 100:] == 100).all()
    assert (image[:, :100] == (50 + 0.5 * np.array(COLOURS[1])).astype(np.uint8)).all()


def test_no_two_classes_share_a_colour():
    """Cityscapes has 34 classes, CamVid 32."""
    colours = np.array([pictures.colour(label) for label in range(40)])
    assert colours[:10].tolist() == [list(one) for one in COLOURS] and colours.min() >= 0 and colours.max() <= 255
    apart = np.linalg.norm(colours[:, None] - colours, axis=-1)
    assert apart[~np.eye(40, dtype=bool)].min() >= 35


def test_where_nothing_is_the_image_stays_and_the_legend_says_nothing():
    grey, lanes = np.full((40, 320, 3), 100, np.uint8), np.zeros((40, 320), np.uint8)
    lanes[:, 10:12] = 1
    image = pictures.masked(grey, lanes, LANES)
    assert (image[:, 12:] == 100).all() and (image[:, 10:12] != 100).any()
    shown = {colour[:3] for _, colour in pictures.legend(LANES, 300).getcolors(1 << 16)}
    assert COLOURS[1] in shown and COLOURS[0] not in shown


@pytest.mark.parametrize("steering", [-1.0, -0.3, 0.3, 1.0])
def test_the_arrow_turns_to_the_side_that_is_steered_to(steering):
    columns = np.flatnonzero(drawn(pictures.steered(GREY, steering, 40)).any(axis=0))
    left, right = 160 - columns.min(), columns.max() - 160
    assert (right > 2 * left) if steering > 0 else (left > 2 * right)


def test_straight_ahead_is_up():
    straight = drawn(pictures.steered(GREY, 0.0, 25))
    columns, rows = np.flatnonzero(straight.any(axis=0)), np.flatnonzero(straight.any(axis=1))
    assert columns.min() + columns.max() == pytest.approx(320, abs=3) and columns.max() - columns.min() < 25
    assert rows.max() > 150 and rows.min() == pytest.approx(156 - 0.45 * 160, abs=3)


def test_a_legend_shows_every_colour_within_its_width():
    names = [f"class number {label}" for label in range(9)]
    made = pictures.legend(names, 300)
    assert made.width == 300 and made.height > 4 * 28
    assert {colour[:3] for _, colour in made.getcolors(1 << 16)} >= set(COLOURS[:9])
    large = pictures.legend(names[:1], 300, size=36, ink="#808080")
    assert large.height > made.height / 5 and (128, 128, 128, 255) in {colour for _, colour in large.getcolors(1 << 16)}


def test_letters_of_other_languages_are_drawn_each_in_its_own_way():
    font = lettering.font_of(20)
    shapes = {bytes(font.getmask(letter)) for letter in "ßöщЖ\N{REPLACEMENT CHARACTER}"}
    assert len(shapes) == 5


@pytest.fixture
def fonts(monkeypatch):
    """Fonts beside DejaVu Sans with other letters: {file: letters}."""

    def use(**letters):
        known = {Path(file): frozenset(map(ord, text)) for file, text in letters.items()}
        monkeypatch.setattr(lettering, "_others", lambda: tuple(known))
        real = lettering._known
        monkeypatch.setattr(lettering, "_known", lambda file: known[file] if file in known else real(file))
        lettering._file_with.cache_clear()

    yield use
    lettering._file_with.cache_clear()


def test_a_name_that_no_font_here_can_write_is_drawn_as_its_number(fonts):
    fonts(chinese="停止让行", arabic="قف")
    assert lettering.drawable(("stop", "停止", "قف", "限速", "ßtop")) == ("stop", "停止", "قف", "3", "ßtop")
    fonts()
    assert lettering.drawable(("停 止", "stop")) == ("0", "stop")
    assert lettering.font_of(12, "停止").getname()[0] == "DejaVu Sans"


def test_a_picture_of_names_that_no_font_can_write_is_that_of_their_numbers(fonts):
    fonts()
    boxes, labels = np.float32([[10, 16, 30, 36]]), np.array([1])
    assert np.array_equal(*(pictures.boxed(GREY, boxes, labels, names) for names in (["a", "停止"], ["a", "1"])))
    assert np.array_equal(*map(np.asarray, (pictures.legend(names, 200) for names in (["停", "a"], ["0", "a"]))))


def test_a_font_of_last_resort_writes_nothing():
    """matplotlib brings one that has a shape for each writing, and maps all its letters to that."""
    ours = Path(lettering._own()).parent
    assert not any(ord("停") in lettering._known(file) for file in ours.glob("*.ttf"))
    assert ord("a") in lettering._known(lettering._own())
