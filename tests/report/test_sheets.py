"""Sheets of examples: who stands where, what is written above, nothing that nobody can see."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.report.plots import sheets as module
from tfmo_drive.report.plots.sheets import COMPARED, FILM_WIDTH, WIDTH, compared, contact_sheet, film, sheets, strip
from tfmo_drive.scores.pictures import COLOURS

RED, GREEN, BLUE = (200, 10, 20), (10, 200, 20), (20, 10, 200)


def _picture(colour, height=8, width=12) -> np.ndarray:
    return np.broadcast_to(np.uint8(colour), (height, width, 3))


def _pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _share(data: bytes, colour) -> float:
    return (np.abs(_pixels(data).astype(int) - colour).max(-1) < 8).mean()


class _Gallery:
    """Draws the truth red, float green, the row blue."""

    mask_classes = ()

    def __init__(self, draws: bool = True, width: int = 12):
        self.draws, self.width, self.asked = draws, width, []

    def ordinary(self, count):
        return [*range(count)]

    def images(self, indices):
        self.asked.append(indices)
        return np.stack([_picture(RED)] * len(indices))

    def panels(self, row, indices):
        self.asked.append((row, indices))
        colours = {"truth": RED, "float": GREEN, "compressed": BLUE}
        one = {title: _picture(colour, width=self.width) for title, colour in colours.items()}
        return [one] * len(indices) if self.draws else []


@pytest.mark.parametrize("words", [{"truth": "stop", "says": "yield"}, {}], ids=["in words", "of numbers alone"])
def test_contact_sheet_shows_the_pictures_themselves(words):
    assert _share(contact_sheet([{"index": 0, **words}], _picture(RED)[None]), RED) > 0.3


@pytest.mark.parametrize("draw", [lambda one: contact_sheet([{"truth": "a", "says": "b", "index": 0}], one[None]),
                                  lambda one: compared([{"truth": one}], [{"index": 0}])])  # fmt: skip
def test_what_lies_around_pictures_is_transparent_and_white_in_them_is_not(draw):
    alpha = np.asarray(Image.open(io.BytesIO(draw(_picture((255, 255, 255))))).convert("RGBA"))[..., 3]
    assert set(alpha[0, -8:]) == {0} and (alpha > 250).mean() > 0.3


def test_what_is_no_picture_is_not_shown():
    assert contact_sheet([], np.zeros((0, 4, 4, 3), np.uint8)) is None
    assert contact_sheet([{"truth": "1", "says": "2", "index": 0}], np.zeros((1, 5), np.float32)) is None
    assert compared([], []) is None


def test_panels_stand_beside_one_another_truth_first():
    pixels = _pixels(compared(_Gallery().panels("x", [4]), [{"index": 4}]))
    assert pixels.shape[1] == WIDTH
    middle = pixels[-20, [WIDTH // 6, WIDTH // 2, WIDTH - WIDTH // 6]].astype(int)
    assert np.abs(middle - [RED, GREEN, BLUE]).max() < 8


def test_below_masks_stands_which_colour_is_which_class():
    panels = _Gallery().panels("x", [4])
    plain, told = (_pixels(compared(panels, [{"index": 4}], names)).astype(int) for names in ((), ("road", "car")))
    assert plain.shape[0] < told.shape[0] <= plain.shape[0] + 60 and plain.shape[1] == told.shape[1]
    for colour in COLOURS[:2]:
        assert (np.abs(told[plain.shape[0] :] - colour).max(-1) < 24).any()


def test_wide_pictures_stand_below_one_another():
    pixels = _pixels(compared(_Gallery(width=30).panels("x", [4]), [{"index": 4}])).astype(int)
    order = [colour for colour in (RED, GREEN, BLUE) if (np.abs(pixels[:, 9] - colour).max(-1) < 8).any()]
    rows = [np.flatnonzero(np.abs(pixels[:, 9] - colour).max(-1) < 8).mean() for colour in order]
    assert order == [RED, GREEN, BLUE] and rows == sorted(rows)
    # Three lines for each example: the fourth example would be the thirteenth line and is left out.
    gallery = _Gallery(width=30)
    assert compared(gallery.panels("x", [0] * 5), [{"index": 0}] * 5) == compared(
        gallery.panels("x", [0] * 4), [{"index": 0}] * 4)  # fmt: skip


def test_above_each_panel_stands_what_is_said_there(monkeypatch):
    written = []
    monkeypatch.setattr(module, "_wrapped", lambda text, across: written.append(text) or text)
    said = [{"index": 71, "truth": "2 car", "reference_says": "2 car", "says": "1 car"},
            {"index": 5, "truth": "", "says": "mean IoU 0.31"}]  # fmt: skip
    compared(_Gallery().panels("x", [71, 5]), said)
    assert written == ["#71  truth: 2 car", "float: 2 car", "compressed: 1 car", "#5  truth", "float",
                       "compressed: mean IoU 0.31"]  # fmt: skip


def test_a_long_caption_takes_two_lines_and_no_more():
    text = module._wrapped("compressed: " + ", ".join(["3 traffic light"] * 9), 600)
    first, second = text.split("\n")
    assert max(module.font_of(module._TEXT).getlength(line) for line in (first, second)) <= 600 and second.endswith(
        " .."
    )


def test_a_task_that_draws_shows_the_worst_and_ordinary_ones(driving_report):
    gallery = _Gallery()
    assert set(sheets(driving_report, gallery)) == {"comparisons", "predictions"}
    row = "detection_channels_quantized/litert_int8"
    assert gallery.asked == [(row, [0, 1, 2, 3]), (row, [3 * i for i in range(COMPARED)])]


def test_without_regressions_there_are_ordinary_ones_alone(driving_report):
    del driving_report["rows"][2]["regressions"]
    assert set(sheets(driving_report, _Gallery())) == {"predictions"}
    assert sheets(driving_report) == {}


def test_a_task_that_draws_nothing_keeps_its_contact_sheet(full_report):
    gallery = _Gallery(draws=False)
    assert set(sheets(full_report, gallery)) == {"regressions"}
    assert gallery.asked[-1] == [71 * i for i in range(14)]
    full_report["rows"][7]["regressions"] = []
    assert sheets(full_report, gallery) == {}


def test_a_strip_holds_six_frames_from_the_first_to_the_last():
    # 11 frames, each of a grey of its own: 0, 2, 4, 6, 8 and 10 are shown, in a line for each row.
    frames = [_picture((20 * i,) * 3, 90, 120) for i in range(11)]
    pixels = _pixels(strip([("float", frames), ("int8", frames[:3])])).astype(int)
    cell = pixels.shape[1] / 6
    lines = [pixels[row, (cell * (np.arange(6) + 0.5)).astype(int), 0] for row in (pixels.shape[0] // 4, -40)]
    assert np.abs(lines[0] - [0, 40, 80, 120, 160, 200]).max() < 12
    # A row of three frames shows three.
    assert np.abs(lines[1] - [0, 20, 40, 255, 255, 255]).max() < 12


@pytest.mark.parametrize(("count", "kept"), [(5, 5), (90, 60)])
def test_a_film_moves_as_long_as_its_shortest_row(count, kept):
    frames = [_picture(colour, 18, 32) for colour in [RED, GREEN] * (count // 2 + 1)]
    shown = Image.open(io.BytesIO(film([("float", frames[:count]), ("int8", frames)])))
    assert (shown.format, shown.n_frames, shown.width, shown.info["duration"]) == ("GIF", kept, FILM_WIDTH, 100)
    shown.seek(1)
    assert np.abs(np.asarray(shown.convert("RGB"))[-5, 5].astype(int) - GREEN).max() < 8


def test_drawn_colours_survive_a_sheet_of_256():
    noise = np.random.default_rng(0).normal(90, 20, (180, 320, 1)).clip(0, 255)
    street = np.repeat(noise, 3, axis=-1).astype(np.uint8)
    street[40:42, 50:120] = (255, 214, 10)
    pixels = _pixels(compared([{"truth": street}], [{"index": 0}])).astype(int)
    assert (np.abs(pixels - (255, 214, 10)).max(-1) < 20).sum() > 2 * 50
