"""The verdict: what the featured row gained and what it cost, in plain words and without saying more than was measured.

"Faster" is said only of a latency ratio measured side by side with the reference (`speedup`); a loss whose
interval includes zero is called one that this test set cannot show.
"""

from __future__ import annotations

from tfmo_drive.report import numbers
from tfmo_drive.report.document import Tile
from tfmo_drive.report.gains import ALIKE
from tfmo_drive.report.rows import Row, featured, plain_row, ratio, reference, worst_classes


def verdict(report: dict) -> tuple[str, ...]:
    """Sentences on the featured row, the headline first."""
    row, why = featured(report)
    first = reference(report)
    if row is first:
        return (f"The float baseline {first['name']} scores {_scored(first)}.", f"{why}.", *_expected(report))
    sentences = [
        f"{row['name']} scores {numbers.percent(row.get('score'))} against {numbers.percent(_base(row, first))} of the "
        f"float baseline: {_delta(row)}.",
        *_expected(report),
        _meaning(row),
        f"{why}.",
        _bytes(row, first),
        _speed(row, first),
        _worst(row),
        _bar(report, row),
    ]
    return tuple(sentence for sentence in sentences if sentence)


def tiles(report: dict) -> tuple[Tile, ...]:
    """The verdict's numbers, one tile each: score, size, speed, worst class."""
    row, first = featured(report)[0], reference(report)
    if row is first:
        return (Tile(numbers.percent(first.get("score")), "score", first["name"]),)
    score = f"{numbers.percent(row.get('score'))} against {numbers.percent(_base(row, first))}"
    found = [Tile(f"{numbers.points(row.get('score_delta'))} points", "score", score)]
    smaller = ratio(row, first, "size_bytes")
    if smaller:
        found.append(Tile(*_compared(smaller, "smaller", "larger"), _against("size_bytes", numbers.size, row, first)))
    if row.get("speedup"):
        against = _against("latency_ms", numbers.milliseconds, row, first)
        found.append(Tile(*_compared(row["speedup"], "faster", "slower"), against))
    worst = worst_classes(row)[:1]
    if worst and worst[0][1]["delta"] < 0:
        name, one = worst[0]
        found.append(Tile(f"{numbers.points(one['delta'])} points", "worst class", f"{name}, {_examples(one)}"))
    return tuple(found)


def judgement(report: dict) -> str:
    """ "good" when every expectation is met, "bad" when one is not, "" without any."""
    expect = report.get("expect") or ()
    return "" if not expect else "good" if all(one.get("passed") for one in expect) else "bad"


def limit(one: dict) -> str:
    """What an expectation allows, in words: "at most 1.00 points", "at least 2.00"."""
    return f"at {'least' if one.get('least') else 'most'} {amount(one, 'bound')}"


def amount(one: dict, key: str) -> str:
    """The `bound` or `value` of an expectation in its unit."""
    value = one.get(key)
    if value is None:
        return numbers.DASH
    if one.get("unit") == "points" or one["name"] in ("score_drop", "keras_gap", "over_control"):
        return f"{numbers.points(value, 2).lstrip('+')} points"
    spelt = {"share": numbers.percent, "bytes": lambda count: f"{numbers.whole(count)} bytes",
             "ms": numbers.milliseconds}  # fmt: skip
    return spelt.get(one.get("unit"), numbers.significant)(value)


def threads(row: Row) -> str:
    """ "2 threads", or nothing where the row does not say."""
    count = row.get("threads")
    return f"{count} thread{'' if count == 1 else 's'}" if count else ""


def _scored(row: Row) -> str:
    text = numbers.percent(row.get("score"))
    if row.get("score_low") is not None and row.get("score_high") is not None:
        text += f" (95 % interval {100 * row['score_low']:.1f} to {100 * row['score_high']:.1f})"
    return text + (f" on {numbers.whole(row['examples'])} test examples" if row.get("examples") else "")


def _base(row: Row, first: Row) -> float | None:
    """The reference's score on the images of `row`, which may be a subset."""
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


def _meaning(row: Row) -> str:
    delta, low, high = (row.get(f"score_delta{end}") for end in ("", "_low", "_high"))
    if delta is None or low is None or high is None:
        return ""
    images = row.get("subset") or f"{numbers.whole(row.get('examples'))} test examples"
    if low <= 0 <= high:
        return f"The interval includes zero: these {images} cannot tell the two apart."
    return f"The interval excludes zero: the {'gain' if delta > 0 else 'loss'} is more than chance on these {images}."


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


def _speed(row: Row, first: Row) -> str:
    where = ", ".join(str(part) for part in (row.get("runtime"), threads(row)) if part)
    where = f" ({where})" if where else ""
    against = _against("latency_ms", numbers.milliseconds, row, first)
    if row.get("speedup"):
        spread = row.get("speedup_spread")
        spread = "" if spread is None else f", the ratio repeating within {100 * spread:.0f} %"
        faster = " ".join(_compared(row["speedup"], "faster", "slower"))
        return f"One inference is {faster}: {against}{where}, timed in turns{spread}."
    if row.get("latency_ms"):
        return f"One inference takes {against}{where}, not timed side by side, so no ratio is given."
    return "Its latency was not measured."


def _worst(row: Row) -> str:
    classes = worst_classes(row)
    if not classes:
        return ""
    name, one = classes[0]
    if one["delta"] >= 0:
        return "No class got worse."
    return f"Worst class: {name}, {numbers.points(one['delta'])} points on {_examples(one)}."


def _bar(report: dict, row: Row) -> str:
    bar = plain_row(report, row)
    # Scores on different images are not compared.
    if bar is None or None in (bar.get("score"), row.get("score")) or bar.get("examples") != row.get("examples"):
        return ""
    return (
        f"The bar to beat, {bar['name']} (the baseline converted without any training), scores "
        f"{numbers.percent(bar['score'])}: this row is {numbers.points(row['score'] - bar['score'])} points from it, "
        f"at {numbers.size(row.get('gzip_bytes'))} gzipped against {numbers.size(bar.get('gzip_bytes'))}."
    )


def _expected(report: dict) -> list[str]:
    expect = report.get("expect") or ()
    missed = [one for one in expect if not one.get("passed")]
    if not expect:
        return []
    if not missed:
        return [f"All {len(expect)} expectations are met." if len(expect) > 1 else "Its expectation is met."]
    said = "; ".join(f"{one['name']} is {amount(one, 'value')}, expected {limit(one)}" for one in missed)
    return [f"FAILED {len(missed)} of {len(expect)} expectations: {said}."]


def _compared(times: float, better: str, worse: str) -> tuple[str, str]:
    if abs(times - 1) < ALIKE:
        return numbers.times(times), f"neither {better} nor {worse}"
    return (numbers.times(times), better) if times > 1 else (numbers.times(1 / times), worse)


def _against(key: str, spelt, row: Row, first: Row) -> str:
    return f"{spelt(row.get(key))} against {spelt(first.get(key))}"


def _examples(one: dict) -> str:
    examples = one.get("examples")
    return f"{numbers.whole(examples)} example{'' if examples == 1 else 's'}"
