"""Reads how a model's images were preprocessed from a line of text: "caffe", "bgr/255", "rgb/127.5-1", "(x-127.5)/60".

    text       none | unit | tf | caffe | torch, or  [COLOURS] STEP STEP ...
    COLOURS    rgb, bgr, grey, rgba, bgra, yuv, ycbcr or ycrcb; x or nothing: the channels as they are
    STEP       one of / * - + and a number, or one for each channel: /255, -103.939,116.779,123.68, /0.229,0.224,0.225

Steps are done from left to right on pixels 0..255, so "rgb/255-0.5/0.25" is ((rgb / 255) - 0.5) / 0.25, with or without
these brackets. Numbers for each channel come in the order of the colours' letters. The five names are those of
keras.applications.imagenet_utils. A model of one channel gets grey images (data.images says by which rule).

YUV is OpenCV's COLOR_RGB2YUV, YCrCb its COLOR_RGB2YCrCb (YCbCr: the same, as Pillow orders it): Y of ITU-R BT.601, and
the differences of blue and red to it, about 128; nothing is rounded or clipped. For tf.image.rgb_to_yuv, whose
differences are about 0, type "yuv-0,128,128/255".
"""

from __future__ import annotations

import dataclasses
import re
from typing import NamedTuple

import numpy as np

from tfmo_drive.base.spelling import shortened, suggestion
from tfmo_drive.contracts import BadInput
from tfmo_drive.preprocessing import Preprocessing

# keras.applications.imagenet_utils.preprocess_input: modes caffe (BGR, no scaling), tf (-1..1) and torch (RGB).
NAMES = {
    "none": "x",
    "unit": "x/255",
    "tf": "x/127.5-1",
    "caffe": "bgr-103.939,116.779,123.68",
    "torch": "rgb/255-0.485,0.456,0.406/0.229,0.224,0.225",
}
"""The five names, and what they are."""
HOW = f'{", ".join(NAMES)}, or in a line as "bgr/255", "rgb/127.5-1", "(grey-127.5)/60" or "yuv/255"'
"""What to type, in words."""
_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114
"""The shares of the colours in Y: ITU-R BT.601-7, section 2.5.1."""


def _difference(colour: int, factor: float) -> tuple[float, ...]:
    """Returns the row that makes `factor * (colour - Y)` of RGB."""
    return tuple(factor * ((place == colour) - share) for place, share in enumerate((_RED, _GREEN, _BLUE)))


class _Colours(NamedTuple):
    """Describes colours by what makes them of the channels of an image: grey, RGB or RGBA."""

    order: tuple[int, ...]
    mixing: tuple[tuple[float, ...], ...] = ()
    offset: tuple[float, ...] = ()
    """Added to the mixed channels, in their order; (): nothing."""


_Y = (_RED, _GREEN, _BLUE)
_YUV = (_Y, _difference(2, 0.492), _difference(0, 0.877))
_YCBCR = (_Y, _difference(2, 0.5 / (1 - _BLUE)), _difference(0, 0.5 / (1 - _RED)))
COLOURS = {
    "rgb": _Colours((0, 1, 2)),
    "bgr": _Colours((2, 1, 0)),
    "grey": _Colours((0,)),
    "rgba": _Colours((0, 1, 2, 3)),
    "bgra": _Colours((2, 1, 0, 3)),
    "yuv": _Colours((0, 1, 2), _YUV, (0.0, 128.0, 128.0)),
    "ycbcr": _Colours((0, 1, 2), _YCBCR, (0.0, 128.0, 128.0)),
    "ycrcb": _Colours((0, 2, 1), _YCBCR, (0.0, 128.0, 128.0)),
}
"""The colours that are linear in those of an image."""
_LARGEST = float(np.finfo(np.float32).max)
EXAMPLES = {1: "grey/255", 3: "rgb/255", 4: "rgba/255"}
_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
_NUMBERS = rf"{_NUMBER}(?:,{_NUMBER})*"
_STEP = re.compile(rf"([-+*/])({_NUMBERS})(\)*)")
_TEXT = re.compile(rf"(\(*)([a-z]*)((?:[-+*/]{_NUMBERS}\)*)*)")


@dataclasses.dataclass(frozen=True)
class _Rule:
    """Holds a text that was read."""

    name: str
    """The text in one spelling: lower case, without blanks and brackets, numbers as Python writes them."""
    colours: str
    """A key of COLOURS, or "" where the text does not say."""
    steps: tuple[tuple[str, tuple[float, ...]], ...]
    """(operator, numbers) in their order."""

    @property
    def channels(self) -> int | None:
        """Returns the number of channels that the text asks for; None where any will do."""
        if self.colours:
            return len(COLOURS[self.colours].order)
        return next((len(numbers) for _, numbers in self.steps if len(numbers) > 1), None)


def channels(text: str) -> int | None:
    """Returns the number of channels that a text asks for, None where any will do; raises BadInput as below."""
    return _read(text).channels


def preprocessing(text: str, count: int | None = None) -> Preprocessing:
    """Returns the preprocessing that a text says; its `name` is the text in one spelling.

    Args:
        text: The text, in the grammar above.
        count: The number of the model's channels; None: those of the text, else RGB.

    Raises:
        BadInput: The text cannot be read, or is of another number of channels.
    """
    rule = _read(text)
    found = rule.channels or count or 3
    if count not in (None, found):
        raise BadInput(
            f'The preprocessing "{text}" is of {found} channel{"s"[: found - 1]}, the model takes {count}. Type '
            f'"{EXAMPLES.get(count, "x/255")}" for example.'
        )
    colours = COLOURS[rule.colours] if rule.colours else _Colours(tuple(range(found)))
    scale, offset = np.ones(found), np.array(colours.offset or [0.0] * found)[list(colours.order)]
    for operator, numbers in rule.steps:
        if operator in "*/":
            scale, offset = (np.multiply if operator == "*" else np.divide)([scale, offset], numbers)
        else:
            offset = (np.add if operator == "+" else np.subtract)(offset, numbers)
    return Preprocessing(rule.name, colours.order, tuple(scale.tolist()), tuple(offset.tolist()), mixing=colours.mixing)


def is_known(text: str) -> bool:
    """Says whether `preprocessing` reads the text."""
    try:
        _read(text)
    except BadInput:
        return False
    return True


def _read(text: str) -> _Rule:
    """Returns the rule in a text; raises BadInput, which says what to type, where there is none."""
    plain = re.sub(r"\s", "", text).lower()
    if plain in NAMES:
        return dataclasses.replace(_read(NAMES[plain]), name=plain)
    brackets, word, steps = (found := _TEXT.match(plain)).groups()
    colours = {"gray": "grey", "x": ""}.get(word, word)
    if colours not in ("", *COLOURS) or not plain:
        near = suggestion(word, [*NAMES, *COLOURS])
        raise BadInput(f'There is no preprocessing "{shortened(text, 60)}". {near} Colours take steps, as "bgr/255".')
    subject, steps = f'The preprocessing "{shortened(text, 60)}"', _STEP.findall(steps)
    if left := plain[found.end() :]:
        raise BadInput(f'{subject} cannot be read from "{shortened(left, 20)}" on. Type {HOW}.')
    depths = np.cumsum([len(brackets), *(-len(closed) for *_, closed in steps)])
    if depths.min() < 0 or depths[-1]:
        raise BadInput(f'{subject} must open and close as many brackets, as "(x-127.5)/60".')
    rule = _Rule("", colours, tuple((one, tuple(map(float, numbers.split(",")))) for one, numbers, _ in steps))
    _refuse_numbers(subject, rule)
    said = "".join(
        operator + ",".join(f"{one!r}".removesuffix(".0") for one in numbers) for operator, numbers in rule.steps
    )
    return dataclasses.replace(rule, name=f"{colours}{said}" or "none")


def _refuse_numbers(subject: str, rule: _Rule) -> None:
    for operator, numbers in rule.steps:
        if len(numbers) not in (1, rule.channels):
            raise BadInput(
                f"{subject} has {len(numbers)} numbers for {rule.channels} channels. Give 1 or one for each."
            )
        if max(numbers) > _LARGEST or (operator in "*/" and 0 in numbers):
            raise BadInput(f"{subject} must have finite numbers, and none that is 0 after * or /.")
