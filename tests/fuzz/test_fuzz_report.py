"""Damaged report.json: every command that reads them shows what stands there, or says what does not."""

import contextlib
import copy
import io
import json

import results
from absl.testing import flagsaver
from damage import damaged_bytes, damaged_json, damaged_text, pick

from tfmo_drive.commands import compare, npu
from tfmo_drive.contracts import BadInput
from tfmo_drive.report.rendering import numbers
from tfmo_drive.report.write_report import read


def _row(name: str, score: float, size: int, reference: bool = False) -> dict:
    """What a run writes of a row, whole enough for every command."""
    stage, target = name.split("/")
    return {
        "name": name, "stage": stage, "target": target, "reference": reference, "score": score,
        "score_low": score - 0.01, "score_high": score + 0.01, "score_delta": score - 0.95, "score_delta_low": -0.02,
        "score_delta_high": 0.01, "agreement": 0.99, "examples": 1055, "size_bytes": size, "gzip_bytes": size // 2,
        "parameters": size // 4, "nonzero_parameters": size // 4, "macs": 10**8, "latency_ms": size / 1e6, "threads": 2,
        "latency_p95_ms": size / 1e6, "reference_latency_ms": 8.0, "speedup": 8e6 / size, "speedup_spread": 0.05,
        "seconds": 3.0, "runtime": "litert xnnpack", "score_macro": 0.9,
        "per_class": {"stop": {"score": 0.9, "examples": 30}, "yield": {"score": 0.8, "examples": 20}},
    }  # fmt: skip


GOOD = {
    "schema": 2, "experiment": "pruned", "seed": 0, "data_fingerprint": "c0ffee", "task": {"kind": "Classification"},
    "environment": {"cores": 2, "processor": "x", "date": "2026-01-01", "command": "make train-pruned", "packages": {}},
    "baseline": {"val_score": 0.96}, "skipped": [], "stages": [], "expect": [],
    "paired": [{"row": "pruned/litert_int8", "against": "longer/litert_int8", "score_delta": 0.01,
                "score_delta_low": -0.01, "score_delta_high": 0.02, "agreement": 0.99}],
    "rows": [_row("baseline/litert_float32", 0.95, 8_000_000, True), _row("baseline/litert_int8", 0.94, 2_000_000),
             _row("pruned/litert_int8", 0.945, 2_000_000)],
}  # fmt: skip


def _damaged(random) -> bytes:
    text = json.dumps(damaged_json(random, copy.deepcopy(GOOD)) if random.random() < 0.6 else GOOD, indent=1)
    if random.random() < 0.3:
        text = damaged_text(random, text)
    data = text.encode("utf-8", "surrogatepass")
    return damaged_bytes(random, data, 2) if random.random() < 0.2 else data


def test_damaged_reports_are_shown_as_they_are_or_named(fuzz, monkeypatch):
    compare.FLAGS.mark_as_parsed()

    def compared(folder):
        found, _ = compare._read_runs([folder], folder / "out")
        one = compare.compare(found)
        compare.document(one)
        return compare.terminal(one)

    def resulted(folder):
        page = folder / results.PAGES["results"]
        page.parent.mkdir(exist_ok=True)
        page.write_text("<!-- results: x -->\n<!-- end of results -->\n")
        monkeypatch.setattr(results, "pictures", lambda reports: {})  # half a second each
        monkeypatch.chdir(folder)
        assert results.main(["results", str(folder)]) == 0
        return page.read_text()

    def listed(folder):
        with contextlib.redirect_stderr(io.StringIO()) as notes:
            list(npu.integer_rows([folder]))
        if notes.getvalue():
            raise BadInput(notes.getvalue().strip())
        return ""

    def attempt(case):
        path = case.folder / "report.json"
        path.write_bytes(_damaged(case.random))
        show = pick(case.random, (compared, resulted, listed))
        said = case.read(path, lambda: show(case.folder))
        if said is None:
            return
        rows = read(case.folder)["rows"]
        for row in rows if show is compared else ():
            if row.get("score") is not None:
                assert numbers.percent(row["score"]) in said and row["name"] in said
        for row in rows if show is resulted else ():
            assert row["name"].split("/")[0] in said or not row["reference"]

    with flagsaver.flagsaver(bench=None, section="results", pages=[]):
        fuzz(attempt, cases=400)
