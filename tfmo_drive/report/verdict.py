"""Writes the verdict: what the featured row gained and what it cost, and no more than was measured.

"Faster" is said only of times taken in turns with the reference (report.timing); a loss whose interval includes zero is
called one that this test set cannot show.
"""

from __future__ import annotations

from tfmo_drive.base import speed
from tfmo_drive.base.recipe import SMALL
from tfmo_drive.base.speed import ALIKE
from tfmo_drive.report import timing, worth
from tfmo_drive.report.document import Tile
from tfmo_drive.report.rendering import numbers
from tfmo_drive.report.row_facts import Row, called, examples, featured, plain_row, ratio, reference, worst_classes

MET, MISSED = "PASS", "FAIL"
BEATS_TRIVIAL = ("baseline_beats_trivial", "beats_trivial")
"""The expectations whose value is the lower end of an interval."""


def verdict(report: dict) -> tuple[str, ...]:
    """Returns sentences on the featured row, the headline first.

    Before it stands whether there is anything to compare at all: where there is not, the sentences give no more of
    gains and losses than their numbers.
    """
    row, why = featured(report)
    first, doubts = reference(report), worth.doubts(report)
    if row is first:
        said = f"The {called(first)} {first['name']} scores {_scored(first)}."
        return (*doubts, said, *filter(None, (_error(first), *_expected(report), _least(first))), f"{why}.")
    sentences = [
        *doubts,
        f"{row['name']} scores {numbers.percent(row.get('score'))} against {numbers.percent(_base(row, first))} of the "
        f"{called(first)}: {_delta(row)}.",
        _error(row),
        *_expected(report),
        _small(report, row),
        "" if doubts else _meaning(row),
        _least(row),
        f"{why}.",
        _bytes(row, first),
        timing.sentence(row),
        "" if doubts else _worst(row),
        _bar(report, row),
    ]
    return tuple(sentence for sentence in sentences if sentence)


def tiles(report: dict) -> tuple[Tile, ...]:
    """Returns the verdict's numbers, one tile each: rows that are worthless, score, size, speed, worst class."""
    row, first = featured(report)[0], reference(report)
    if row is first:
        return (*worth.tiles(report), Tile(numbers.percent(first.get("score")), "score", first["name"]))
    score = f"{numbers.percent(row.get('score'))} against {numbers.percent(_base(row, first))}"
    found = [*worth.tiles(report), Tile(f"{numbers.points(row.get('score_delta'))} points", "score", score)]
    smaller = ratio(row, first, "size_bytes")
    if smaller:
        found.append(Tile(*_compared(smaller, "smaller", "larger"), _against("size_bytes", numbers.size, row, first)))
    if timed := speed.of(row):
        found.append(Tile(*timing.compared(timed), timing.pair(timed)))
    worst = worst_classes(row)[:1]
    if worst and worst[0][1]["delta"] < 0:
        name, one = worst[0]
        found.append(Tile(f"{numbers.points(one['delta'])} points", "worst class", f"{name}, {examples(one)}"))
    return tuple(found)


def judgement(report: dict) -> str:
    """Returns the tone of the verdict: "good", "bad" or "".

    It is good when every expectation is met, bad when one is missed or a compared row is worthless, and neither where
    there is no expectation, or one could not be decided.
    """
    if worth.doubted(report):
        return "bad"
    said = {outcome(one) for one in report.get("expect") or ()}
    return "bad" if MISSED in said else "good" if said == {MET} else ""


def outcome(one: dict) -> str:
    """Returns MET, MISSED, or what kept an expectation from being decided."""
    return timing.BUSY if one.get("passed", False) is None else MET if one.get("passed") else MISSED


def limit(one: dict) -> str:
    """Returns what an expectation allows, in words: "at most 1.00 points", "at least 2.00"."""
    if one["name"] in BEATS_TRIVIAL:
        return "above 0 points, the whole interval"
    return f"at {'least' if one.get('least') else 'most'} {amount(one, 'bound')}"


def amount(one: dict, key: str) -> str:
    """Returns the `bound` or `value` of an expectation in its unit."""
    value = one.get(key)
    if value is None:
        return "not decided: one group" if one["name"] in BEATS_TRIVIAL else numbers.DASH
    if one["name"] in BEATS_TRIVIAL:
        return f"at least {numbers.points(value, 2)} points"
    if one.get("unit") == "points" or one["name"] in ("score_drop", "keras_gap", "over_control"):
        return f"{numbers.points(value, 2).lstrip('+')} points"
    if key == "value" and one.get("passed", False) is None:
        return f"about {numbers.significant(value, 2)}" + (" ms" if one.get("unit") == "ms" else "")
    spelt = {"share": numbers.percent, "ratio": numbers.significant, "ms": numbers.milliseconds,
             "bytes": lambda count: f"{numbers.whole(count)} bytes"}  # fmt: skip
    unit = one.get("unit")
    return spelt[unit](value) if unit in spelt else numbers.measured(value, unit)


def _scored(row: Row) -> str:
    text = numbers.percent(row.get("score"))
    if row.get("score_low") is not None and row.get("score_high") is not None:
        text += f" (95 % interval {100 * row['score_low']:.1f} to {100 * row['score_high']:.1f})"
    return text + (f" on {numbers.whole(row['examples'])} test examples" if row.get("examples") else "")


def _base(row: Row, first: Row) -> float | None:
    """Returns the reference's score on the images of `row`, which may be a subset."""
    if row.get("score") is None or row.get("score_delta") is None:
        return first.get("score")
    return row["score"] - row["score_delta"]


def _delta(row: Row) -> str:
    delta, low, high = (row.get(f"score_delta{end}") for end in ("", "_low", "_high"))
    if delta is None:
        return "the difference was not measured"
    known = low is not None and high is not None
    interval = f"95 % interval {numbers.points(low)} to {numbers.points(high)}" if known else "no interval"
    return f"{numbers.points(delta)} points ({interval})"


def _error(row: Row) -> str:
    """Returns what an answer is off by on the average, in the unit of the number, and how much more that is."""
    if row.get("error") is None:
        return ""
    said, unit = numbers.measured(row["error"], row.get("error_unit")), row.get("error_unit")
    delta, low, high = (row.get(f"error_delta{end}") for end in ("", "_low", "_high"))
    if delta is None or row.get("reference"):
        return f"Its mean error is {said}."
    known = low is not None and high is not None
    interval = f"95 % interval {numbers.changed(low)} to {numbers.changed(high, unit)}" if known else "no interval"
    before = numbers.measured(row["error"] - delta, unit)
    return f"Its mean error is {said}, {numbers.changed(delta, unit)} against {before} ({interval})."


def _meaning(row: Row) -> str:
    delta, low, high = (row.get(f"score_delta{end}") for end in ("", "_low", "_high"))
    if delta is None or low is None or high is None:
        return ""
    images = row.get("subset") or f"{numbers.whole(row.get('examples'))} test examples"
    if low <= 0 <= high:
        return f"The interval includes zero: these {images} cannot tell the two apart."
    return f"The interval excludes zero: the {'gain' if delta > 0 else 'loss'} is more than chance on these {images}."


def _least(row: Row) -> str:
    """Returns the score of the trivial answer in words, or ""."""
    if row.get("trivial_score") is None:
        return ""
    said = worth.answered(row)
    return f"{said[0].upper()}{said[1:]} would score {numbers.percent(row['trivial_score'])}."


def _bytes(row: Row, first: Row) -> str:
    smaller = ratio(row, first, "size_bytes")
    if not smaller:
        return ""
    text = f"Its file is {' '.join(_compared(smaller, 'smaller', 'larger'))}: "
    text += _against("size_bytes", numbers.size, row, first)
    packed = ratio(row, first, "gzip_bytes")
    if not packed:
        return f"{text}."
    return f"{text}; gzipped {numbers.size(row['gzip_bytes'])}, {' '.join(_compared(packed, 'smaller', 'larger'))}."


def _worst(row: Row) -> str:
    classes = worst_classes(row)
    if not classes:
        return ""
    name, one = classes[0]
    if one["delta"] >= 0:
        return "No class got worse."
    return f"Worst class: {name}, {numbers.points(one['delta'])} points on {examples(one)}."


def _bar(report: dict, row: Row) -> str:
    bar = plain_row(report, row)
    # Scores on different images are not compared.
    if bar is None or None in (bar.get("score"), row.get("score")) or bar.get("examples") != row.get("examples"):
        return ""
    packed = [one.get("gzip_bytes") for one in (row, bar)]
    sizes = "" if None in packed else f", at {' gzipped against '.join(map(numbers.size, packed))}"
    return (
        f"The bar to beat, {bar['name']} (the baseline converted without any training), scores "
        f"{numbers.percent(bar['score'])}: this row is {numbers.points(row['score'] - bar['score'])} points from "
        f"it{sizes}."
    )


def _small(report: dict, row: Row) -> str:
    """Returns how the row compares with a small network from nothing, and which of the two a user should take."""
    small = next((one for one in report["rows"] if one["name"] == f"{SMALL}/{row.get('target')}"), None)
    pairs = report.get("paired") or ()
    pair = next((one for one in pairs if small and (one["row"], one["against"]) == (row["name"], small["name"])), {})
    delta, low, high = (pair.get(f"score_delta{end}") for end in ("", "_low", "_high"))
    if delta is None:
        return ""
    spent = {name: _trained(report, name) for name in (SMALL, row.get("stage"))}
    interval = "no interval" if low is None else f"95 % interval {numbers.points(low)} to {numbers.points(high)}"
    larger = (row.get("size_bytes") or 0) >= (small.get("size_bytes") or 0)
    advice = ""
    if (high is not None and high < 0) or (larger and (delta if low is None else low) <= 0):
        worse = high is not None and high < 0
        advice = f" TAKE THE SMALL NETWORK: it is {'better' if worse else 'no worse by these examples, and no larger'}."
    return (
        f"A small network trained from nothing, {small['name']}, scores {numbers.percent(small.get('score'))} at "
        f"{numbers.size(small.get('size_bytes'))} after {spent[SMALL]} of training, where the recipe took "
        f"{spent[row.get('stage')]}: this row is {numbers.points(delta)} points from it ({interval}).{advice}"
    )


def _trained(report: dict, recipe: str) -> str:
    """Returns how long the stages of a recipe took."""
    stages = [one for one in report.get("stages") or () if one.get("recipe") == recipe]
    return numbers.duration(sum(one.get("seconds") or 0 for one in stages))


def _expected(report: dict) -> list[str]:
    expect, about = report.get("expect") or (), featured(report)[0]["name"]
    judged = {one.get("judged") for one in expect} - {None, about}
    of_whom = f" of {', '.join(sorted(judged))}" if judged else ""
    missed = [one for one in expect if outcome(one) == MISSED]
    unjudged = [one for one in expect if outcome(one) not in (MET, MISSED)]
    if expect and not missed and not unjudged:
        one = f"The expectation{of_whom} is met." if of_whom else "Its expectation is met."
        return [f"All {len(expect)} expectations{of_whom} are met." if len(expect) > 1 else one]
    said = "; ".join(_missed(one, about) for one in missed)
    found = [f"FAILED {len(missed)} of {len(expect)} expectations{of_whom}: {said}."] if missed else []
    return found + [f"{one['name']} is neither met nor missed, {outcome(one)}." for one in unjudged]


def _missed(one: dict, about: str) -> str:
    whose = "" if one.get("row") == about else f" of {one.get('row')}"
    return f"{one['name']}{whose} is {amount(one, 'value')}, expected {limit(one)}"


def _compared(times: float, better: str, worse: str) -> tuple[str, str]:
    if abs(times - 1) < ALIKE:
        return numbers.times(times), f"neither {better} nor {worse}"
    return (numbers.times(times), better) if times > 1 else (numbers.times(1 / times), worse)


def _against(key: str, spelt, row: Row, first: Row) -> str:
    return f"{spelt(row.get(key))} against {spelt(first.get(key))}"
