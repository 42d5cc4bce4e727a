"""What happens to files: bytes, texts and JSON values damaged at random, by a generator that says how."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np

NUMBERS = (0, -1, 1, 255, 256, 2**31 - 1, 2**31, 2**32, -(2**63), 2**64, 10**30, 10**400, 1e308, -1e308, 5e-324, 0.5,
           float("nan"), float("inf"), float("-inf"))  # fmt: skip
VALUES = (*NUMBERS, None, True, False, "", " ", "nan", "1e400", "a\nb", "\0", "\u2028", "\ud800", 
          "e\u0301", "x" * 10_000, "../../x", [], {}, [[]], [None], {"": None})  # fmt: skip
LETTERS = "\"',;:=\t\r\n\0\ufeff\u2028\u00e9[]{}()-+.eE019 xN%$\\/"


def pick(random: np.random.Generator, choices: Any) -> Any:
    """One of a sequence."""
    return choices[int(random.integers(len(choices)))]


def damaged_bytes(random: np.random.Generator, data: bytes, most: int = 4) -> bytes:
    """`data` after one to `most` accidents: bits turned, bytes and 32-bit words overwritten, parts lost, doubled, moved
    or of chance, the end cut off."""
    for _ in range(int(random.integers(1, most + 1))):
        data = bytes(_accident(random, bytearray(data)))
    return data


def damaged_text(random: np.random.Generator, text: str, most: int = 4) -> str:
    """`text` after one to `most` accidents with letters that mean something to readers, words and lines."""
    for _ in range(int(random.integers(1, most + 1))):
        text = _slip(random, text)
    return text


def damaged_json(random: np.random.Generator, value: Any, most: int = 3) -> Any:
    """A copy of a JSON value with one to `most` of its parts replaced, removed, doubled, renamed or nested deep."""
    value = copy.deepcopy(value)
    for _ in range(int(random.integers(1, most + 1))):
        places = list(_places(value))
        if not places:
            return pick(random, VALUES)
        above, key = pick(random, places)
        kind = int(random.integers(8))
        if kind == 0:
            del above[key]
        elif kind == 1 and isinstance(above, dict):
            above[f"{key}_"] = above.pop(key)
        elif kind == 1:
            above.insert(key, copy.deepcopy(above[key]))
        elif kind == 2:
            other, where = pick(random, places)
            above[key] = copy.deepcopy(other[where])
        elif kind == 3:
            deep = above[key]
            for _ in range(pick(random, (1, 3, 200))):
                deep = [deep]
            above[key] = deep
        else:
            above[key] = copy.deepcopy(pick(random, VALUES))
    return value


def _accident(random: np.random.Generator, data: bytearray) -> bytearray:
    place = int(random.integers(len(data) + 1))
    count = min(int(2 ** random.uniform(0, 10)), len(data) - place)
    end, other = place + count, int(random.integers(len(data) + 1))
    kind = int(random.integers(9))
    if kind == 0:
        return data[:place]
    if kind == 1:
        del data[place:end]
    elif kind == 2:
        data[place:place] = data[place:end]
    elif kind == 3:
        data[place:end] = data[other : other + count]
    elif kind == 4:
        data[place:end] = random.bytes(count)
    elif kind == 5:
        data[place:end] = pick(random, (b"\0", b"\xff")) * count
    elif kind == 6 and len(data) >= 4:
        place = min(place, len(data) - 4)
        word = pick(random, (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(data), int(random.integers(2**32))))
        data[place : place + 4] = word.to_bytes(4, pick(random, ("little", "big")))
    elif data:
        for bit in random.integers(0, 8 * len(data), int(random.integers(1, 9))):
            data[bit // 8] ^= 1 << (bit % 8)
    return data


def _slip(random: np.random.Generator, text: str) -> str:
    place = int(random.integers(len(text) + 1))
    end = place + int(random.integers(0, 12))
    lines = text.splitlines(keepends=True) or [""]
    line = int(random.integers(len(lines)))
    return pick(random, (
        text[:place],
        text[:place] + text[end:],
        text[:end] + text[place:],
        text[:place] + pick(random, LETTERS) * int(random.integers(1, 4)) + text[place:],
        text[:place] + str(pick(random, VALUES)) + text[end:],
        "".join(lines[:line] + lines[line + 1 :]),
        "".join(lines[: line + 1] + lines[line:]),
        text.replace(pick(random, LETTERS), pick(random, LETTERS)),
    ))  # fmt: skip


def _places(value: Any):
    """Every (container, key or index) in a JSON value."""
    if isinstance(value, dict | list):
        for key, below in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield value, key
            yield from _places(below)


def mostly_damaged(random, text: str, most: int) -> bytes:
    """The bytes of a file: in nine of ten cases the text damaged, at up to `most` places or as bytes at one."""
    if random.random() < 0.7:
        data = damaged_text(random, text, most=most).encode("utf-8", "surrogatepass")
    else:
        data = damaged_bytes(random, text.encode(), most=1)
    return data if random.random() < 0.9 else text.encode()


def text_in(data: bytes) -> str:
    """The text of a CSV file: in UTF-16 with its mark, in UTF-8, or, where nothing looks like that, in cp1252."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        return data.decode()
    except UnicodeDecodeError:
        assert not re.search(rb"[\xc2-\xf4][\x80-\xbf]", data)
        return data.decode("cp1252")
