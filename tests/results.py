"""Write measured results into this repository's pages and the experiments' docstrings, from report.json and bench.json.

    make results RUNS="runs/post_training runs/quantized"                  # experiments/RESULTS.md
    make results RUNS="runs/detection_quantized" SECTION=perception        # experiments/PERCEPTION.md
    make results RUNS=runs/smoke SECTION=readme                            # the README's first result and its picture
    python -m tests.results runs/quantized --bench=runs/bench/bench.json --pages=runs/npu/npu.md

Nothing between a page's markers (`<!-- results: ... -->` and `<!-- end of results -->`), and no "Measured" line of an
experiment, is ever typed by hand.

Rows whose runs are gone stand in a second block of the page, without their times (`<!-- earlier results: ... -->`);
what is told anew is taken out of it.
"""

from __future__ import annotations

import functools
import io
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from absl import flags
from PIL import Image

from tfmo_drive.base import atomic, speed
from tfmo_drive.base.given_file import json_of, reading, text_of
from tfmo_drive.commands import command_line
from tfmo_drive.contracts import BadInput
from tfmo_drive.report import timing, worth
from tfmo_drive.report.plots.figures import against
from tfmo_drive.report.rendering import numbers
from tfmo_drive.report.rendering.markdown import terminal
from tfmo_drive.report.row_facts import featured, ratio, reference
from tfmo_drive.report.schema import AGAIN
from tfmo_drive.report.write_report import read

PICTURES = Path("experiments")
PAGES = {"results": PICTURES / "RESULTS.md", "perception": PICTURES / "PERCEPTION.md", "readme": Path("README.md")}
MEASURED = re.compile(r'\n\nMeasured [^"]*?(?=\n""")')
FLAGS = flags.FLAGS
flags.DEFINE_string("bench", None, "The bench.json that `make bench` wrote, for the table of speeds.")
flags.DEFINE_enum("section", "results", list(PAGES), "The page that is written.")
flags.DEFINE_list("pages", [], "Markdown pages that other commands wrote (npu.md, ledger.md), appended.")


def main(argv: list[str]) -> int:
    if len(argv) < 2:
        raise BadInput("Say which runs: python -m tests.results runs/quantized runs/pruned_quantized.")
    reports = {Path(name): read(Path(name)) for name in argv[1:]}
    for folder, report in reports.items():  # each alone first, so that one that cannot be shown is named
        with reading(folder / "report.json", "a report that can be shown", AGAIN):
            block({folder: report}), noted('"""\n"""', report)
    page = PAGES[FLAGS.section]
    text = text_of(page, "the page that shows the results")
    label, write = ("first result", first_result) if FLAGS.section == "readme" else ("results", _told)
    if not block_of(label).search(text):
        raise BadInput(f"{page} has no block of its {label}. Write the block's two markers there.")
    written = write(reports)
    text = block_of(label).sub(lambda found: found[1] + written + found[3], text)
    text = block_of("earlier results").sub(lambda found: found[1] + without(found[2], written) + found[3], text)
    atomic.write_text(page, text)
    for report in reports.values():
        notebook = next(PICTURES.rglob(f"{report['experiment']}.py"), PICTURES / "of somebody's own")
        if report["seed"] == 0 and notebook.exists():
            atomic.write_text(notebook, noted(text_of(notebook, "an experiment"), report))
    return 0


def _told(reports: dict[Path, dict]) -> str:
    """The whole block of a page of results, whose pictures are written beside the page."""
    prefix = "" if FLAGS.section == "results" else f"{FLAGS.section}_"
    drawn = {f"{prefix}{name}.png": (name.replace("_", " against "), data) for name, data in pictures(reports).items()}
    for file, (_, data) in drawn.items():
        atomic.write_bytes(PICTURES / file, data)
    shown = "".join(f"![{title}]({file})\n\n" for file, (title, _) in drawn.items())
    written = shown + block(reports) + (_benched(Path(FLAGS.bench)) if FLAGS.bench else "")
    return written + "".join(subordinate(text_of(path, "a Markdown page")) for path in FLAGS.pages)


def first_result(reports: dict[Path, dict]) -> str:
    """What `make smoke` prints at its end; the picture of its report is written into experiments/."""
    if [report["experiment"] for report in reports.values()] != ["smoke"]:
        raise BadInput("The README shows one run of smoke: make results RUNS=runs/smoke SECTION=readme.")
    (folder, report), *_ = reports.items()
    atomic.write_bytes(PICTURES / "report.png", screenshot(folder / "report.html"))
    return f"```\n{terminal(report).rstrip()}\n```\n"


def screenshot(page: Path, width: int = 1280, height: int = 1165) -> bytes:
    """The top of an HTML page as headless Chromium shows it.

    Args:
        page: The HTML file.
        width: The window's width, in pixels.
        height: The window's height, in pixels.

    Returns:
        A PNG of 64 colours, so that it stays small.
    """
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise BadInput("The README's picture of a report is taken by Chromium, which is not here. Install chromium.")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        settings = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}"]
        asked = [f"--window-size={width},{height}", f"--screenshot={shot}", page.resolve().as_uri()]
        subprocess.run([browser, *settings, *asked], check=True, capture_output=True, timeout=120)
        found = io.BytesIO()
        Image.open(shot).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(found, "PNG", optimize=True)
    return found.getvalue()


def _benched(path: Path) -> str:
    with reading(path, "a bench.json", "Make it with `make bench`."):
        return speeds(json_of(path, "a bench.json", "Make it with `make bench`."))


def block_of(label: str) -> re.Pattern:
    """A pattern that finds the block called `label` in a page; the block's two markers are groups 1 and 3."""
    return re.compile(rf"(<!-- {label}: .*?-->\n)(.*?)(<!-- end of {label} -->)", re.DOTALL)


def without(earlier: str, fresh: str) -> str:
    """The earlier block without the rows, the pairs, the commands and the pages that `fresh` tells anew; nothing of it
    where no row is left."""
    told = {what for _, what in _telling_lines(fresh)}
    kept = [(line, what) for line, what in _telling_lines(earlier) if what is None or what not in told]
    if not any(what and what[0] == "row" for _, what in kept):
        return ""
    text = "\n".join(line for line, _ in kept)
    for title in re.findall("^### .*", fresh, re.MULTILINE):
        text = re.sub(rf"^{re.escape(title)}\n.*?(?=^### |\Z)", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^\n]*test examples:\n\n\|[^\n]*\n\|[-|]*\n\n", "", text)


def _telling_lines(block: str) -> Iterator[tuple[str, tuple | None]]:
    """Every line, and what it tells: ("row", data, name), ("pair", row, control, seed), ("run", experiment, data, seed)
    or None."""
    data = ""
    for line in block.split("\n"):
        data = line if line.endswith("test examples:") else "" if line.startswith("| row | control") else data
        cells, what = [cell.strip() for cell in line.strip("|").split("|")], None
        if line.startswith("| `"):
            what = ("row", data, cells[0]) if data else ("pair", *cells[:3])
        elif line.startswith("    tfmo-drive run"):
            given = dict(re.findall(r"--(experiment|data|seed)=(\S+)", line))
            what = ("run", given.get("experiment"), Path(given.get("data", "")).name, given.get("seed", "0"))
        yield line, what


def block(reports: dict[Path, dict]) -> str:
    """A table of rows for each data set (the one with most runs first), one against the controls, and the commands."""
    groups = _by_data(reports)
    plain = [_title(group) for group in groups]
    titles = [_title(group, sized=plain.count(title) > 1) for group, title in zip(groups, plain, strict=True)]
    parts = [part for group, title in zip(groups, titles, strict=True) for part in (title, "", *_table(group), "")]
    commands = [f"    {report['environment']['command']}" for report in reports.values()]
    return "\n".join([*parts, *_against_controls(reports), _conditions(reports), "", *commands, ""])


def _title(group: list[dict], sized: bool = False) -> str:
    """The line above a table: the data and the task, with the size of the images where two tables differ in it."""
    task = group[0].get("task") or {}
    facts = [f"`{Path(str(task.get('data') or '')).name or 'built in'}`", *([task["kind"]] if task.get("kind") else [])]
    if sized and task.get("image_size"):
        sides = task["image_size"] if isinstance(task["image_size"], list) else [task["image_size"]]
        facts.append(f"{' x '.join(map(str, sides))} pixels")
    return f"{', '.join(facts)}, {reference(group[0])['examples']:,} test examples:"


def pictures(reports: dict[Path, dict]) -> dict[str, bytes]:
    """PNG bytes by name: score against bytes and against latency, of the rows of the data set with most runs."""
    found: dict[str, dict] = {}
    for report in _by_data(reports)[0]:
        for row in _telling(report):
            name = row["name"] if row["stage"] == "baseline" else _name(row, report)
            if not row.get("subset"):
                found.setdefault(name, {**row, "run": report["experiment"]})
    rows = [*found.values()]
    costs = {"score_size": "size_bytes", "score_latency": "latency_share"}
    drawn = {name: against(rows, cost, reference(_by_data(reports)[0][0]), "run") for name, cost in costs.items()}
    return {name: data for name, data in drawn.items() if data}


def speeds(bench: dict) -> str:
    """The table of `make bench`: ours and the reference in turns, as a ratio, with the most that was allowed."""
    lines = ["", "| bench | ours / reference | at most | spread | ours | reference |", "|---|---|---|---|---|---|"]
    for name, one in bench.items():
        if name != "environment":
            units = [numbers.size(one[f"{side}_bytes"]) if one.get(f"{side}_bytes") else f"{one[f'{side}_s']:.3g} s"
                     for side in ("ours", "reference")]  # fmt: skip
            spread = "one round" if len(one.get("ratios", ())) == 1 else f"{one['spread']:.0%}"
            about = "" if speed.sure(one["spread"]) else "about "
            cells = (f"`{name}`", f"{about}{one['ratio']:.2f}", f"{one['bar']:.2f}", spread, *units)
            lines.append(f"| {' | '.join(cells)} |")
    facts = bench["environment"]
    return "\n".join([*lines, "", f"{facts['cores']} cores, {facts['processor']}. Made by `make bench`.", ""])


def subordinate(page: str) -> str:
    """A page as a part of another: its headings two levels lower."""
    return "\n" + re.sub(r"^#(?=#* )", "###", page, flags=re.MULTILINE).strip() + "\n"


def noted(source: str, report: dict) -> str:
    """An experiment file with the line that says what its last run measured, at the end of its docstring."""
    row = featured(report)[0]
    row = report["rows"][-1] if row["reference"] else row  # without a recipe: what shipping the baseline costs
    text = (
        f"Measured {report['environment']['date']} on {report['environment']['cores']} cores, seed 0: "
        f"{row['name']} scores {numbers.percent(row['score'])}, {_points(row)} points against float, "
        f"{numbers.times(ratio(row, reference(report), 'size_bytes'))} smaller"
        f"{_faster(row)} ({row['examples']:,} test examples)."
    )
    wrapped = re.sub(r"(.{1,116})(?: |$)", r"\1\n", text).rstrip()
    bare = MEASURED.sub("", source, count=1)
    head, rest = bare.split('\n"""', 1)
    return f'{head}\n\n{wrapped}\n"""{rest}'


def _by_data(reports: dict[Path, dict]) -> list[list[dict]]:
    """Reports of one task on the same test data together, the largest group first."""
    groups: dict[tuple, list[dict]] = {}
    for report in reports.values():
        kind = (report.get("task") or {}).get("kind")
        groups.setdefault((kind, str(report.get("data_fingerprint"))), []).append(report)
    return sorted(groups.values(), key=len, reverse=True)


def _telling(report: dict) -> list[dict]:
    """Without the float files of what was compressed: they only say that the conversion changed nothing."""
    compressed = any(row["stage"] == report["experiment"] for row in report["rows"])
    float_target = reference(report)["target"]
    return [row for row in report["rows"] if row["reference"] or not compressed or row["target"] != float_target]


def _table(group: list[dict]) -> list[str]:
    """One line for each row; the float baseline that several runs share appears once."""
    lines = [
        "| row | score (95 %) | points against float (95 %) | bytes | gzip | gzip ratio | MACs "
        "| 1 thread: faster | 2 threads: faster | best against best |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    seen: dict[str, tuple] = {}
    for report in group:
        for row in _telling(report):
            name, found = row["name"] if row["reference"] else _name(row, report), (row["score"], row["size_bytes"])
            if name in seen and not row["reference"] and seen[name] != found:  # calibrated otherwise there
                name += f" (in {report['experiment']})"
            if name not in seen:
                seen[name] = found
                lines.append(_line(name, row, report))
    scored = [reference(report) for report in group if reference(report).get("trivial_score") is not None]
    for row in map(worth.trivial_row, scored[:1]):
        columns = f"`{row['name']}`", numbers.percent(row["score"]), numbers.points(row["score_delta"], 2)
        lines.append(f"| {' | '.join(columns)} {'| ' * (lines[0].count('|') - 4)}|")
    return lines


def _against_controls(reports: dict[Path, dict]) -> list[str]:
    """A table of recipes against their controls, example by example: is it the method, or only longer training?"""
    lines = [
        f"| `{pair['row']}` | `{pair['against'].split('/')[0]}` | {report['seed']} | {_points(pair)} |"
        for report in reports.values()
        for pair in report.get("paired", [])
        if pair["row"] in {row["name"] for row in _telling(report)}
    ]
    header = ["| row | control, same target | seed | points against the control (95 %) |", "|---|---|---|---|"]
    return [*header, *lines, ""] if lines else []


def _line(name: str, row: dict, report: dict) -> str:
    more = (f" ({row['subset']})" if row.get("subset") else "") + _parts(row)
    cells = (
        f"`{name}`",
        f"{numbers.percent(row['score'])}{_range(row['score_low'], row['score_high'], numbers.percent)}{more}",
        "" if row["reference"] else _points(row),
        numbers.size(row["size_bytes"]),
        numbers.size(row["gzip_bytes"]),
        f"{row['gzip_bytes'] / reference(report)['gzip_bytes']:.3f}",
        numbers.count(row.get("macs")),
        *(timing.whole(found, row["reference"]) for found in (speed.of(row, 1), speed.of(row, 2), speed.best(row))),
    )
    return "| " + " | ".join(cells) + " |"


def _parts(row: dict) -> str:
    """The scores of the tasks that one network does together, and beside a detector's mAP its AP50."""
    said = [f"{key[5:].replace('_', ' ')} {numbers.percent(row[key])}" for key in row if key.startswith("part_")]
    said += [f"AP50 {numbers.percent(row['ap50'])}"] if "ap50" in row else []
    return f": {', '.join(said)}" if said else ""


def _name(row: dict, report: dict) -> str:
    """The row's name, with the seed where it is not 0, and for a control whose it is."""
    control = row["stage"] not in ("baseline", report["experiment"])
    said = [f"beside {report['experiment']}"] * control + [f"seed {report['seed']}"] * bool(report["seed"])
    return row["name"] + (f" ({', '.join(said)})" if said else "")


def _points(row: dict) -> str:
    written = functools.partial(numbers.points, decimals=2)
    return written(row["score_delta"]) + _range(row["score_delta_low"], row["score_delta_high"], written)


def _range(low, high, written) -> str:
    return "" if low is None or high is None else f" ({written(low)} to {written(high)})"


def _faster(row: dict) -> str:
    """Against float on the row's own number of threads, and each on what suits it best where that is another."""
    found, best = speed.of(row), speed.best(row)
    if found is None:
        return ""
    said = f", {timing.phrase(found)} on {timing.threads(row['threads'])}"
    other = best is not None and best.threads != found.threads
    return said + (f", {timing.phrase(best)} each on what suits it best" if other else "")


def _conditions(reports: dict[Path, dict]) -> str:
    machines = {(r["environment"]["cores"], r["environment"].get("processor")) for r in reports.values()}
    said = "; ".join(f"{cores} cores, {processor}" for cores, processor in sorted(machines))
    return (
        "Intervals by group; batch 1; times against those of float in the same turns, ± how far their ratio repeated "
        f"(best against best: each on the number of threads that suits it best); {said}. Made by:"
    )


if __name__ == "__main__":
    command_line.start(main)
