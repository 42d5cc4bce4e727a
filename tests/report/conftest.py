"""A report as a real run would write it: 9 rows, 43 classes, 3 stages and a control; every optional key is there."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from tfmo_drive.measures.corruptions import CORRUPTIONS, SEVERITIES
from tfmo_drive.report.plots.figures import figures
from tfmo_drive.report.plots.sheets import contact_sheet

CLASSES = (
    "speed limit 20", "speed limit 30", "speed limit 50", "speed limit 60", "speed limit 70", "speed limit 80",
    "end of speed limit 80", "speed limit 100", "speed limit 120", "no passing", "no passing for trucks",
    "priority at next intersection", "priority road", "yield", "stop", "no vehicles", "no trucks", "no entry",
    "general caution", "dangerous curve left", "dangerous curve right", "double curve", "bumpy road", "slippery road",
    "road narrows right", "road work", "traffic signals", "pedestrians", "children crossing", "bicycles crossing",
    "ice/snow", "wild animals crossing", "end of all limits", "turn right ahead", "turn left ahead", "ahead only",
    "go straight or right", "go straight or left", "keep right", "keep left", "roundabout", "end of no passing",
    "end of no passing for trucks",
)  # fmt: skip
MB = 1_000_000
# name, score, bytes, gzip, non-zero fraction, latency, faster, runtime
ROWS = (
    ("baseline/litert_float32", 0.951, 94.3 * MB, 87.1 * MB, 0.99, 5.02, 1.0, "litert xnnpack"),
    ("baseline/litert_float16", 0.951, 47.2 * MB, 43.4 * MB, 0.99, 5.05, 0.99, "litert xnnpack"),
    ("baseline/litert_dynamic", 0.950, 24.0 * MB, 20.9 * MB, 0.98, 1.42, 3.5, "litert xnnpack"),
    ("baseline/litert_int8", 0.949, 24.2 * MB, 20.8 * MB, 0.98, 1.05, 4.8, "litert xnnpack"),
    ("baseline/litert_int16x8", 0.955, 24.5 * MB, 21.0 * MB, 0.98, 42.1, 0.12, "litert reference"),
    ("prune/litert_float32", 0.947, 94.3 * MB, 34.0 * MB, 0.30, 5.01, 1.0, "litert xnnpack"),
    ("prune/litert_int8", 0.938, 24.2 * MB, 9.9 * MB, 0.30, 1.04, 4.8, "litert xnnpack"),
    ("quantize_aware/litert_int8", 0.946, 24.2 * MB, 9.8 * MB, 0.29, 1.06, 4.7, "litert xnnpack"),
    ("train/litert_float32", 0.953, 94.3 * MB, 87.0 * MB, 0.99, 5.03, 1.0, "litert xnnpack"),
)


@pytest.fixture(scope="session")
def _full_report() -> dict:
    random = np.random.default_rng(0)
    examples = random.integers(3, 60, len(CLASSES))
    scores = np.round(random.uniform(0.85, 1.0, len(CLASSES)) * examples) / examples
    rows = [_row(line, examples, scores, random) for line in ROWS]
    rows[4] |= {"examples": 200, "subset": "200 of 1,055, seeded"}
    rows[7] |= {"regressions": _regressions(random), "layer_sparsity": _layer_sparsity(random)}
    epochs = {"1_prune": 4, "2_quantize_aware": 2, "1_train": 6}
    curves = [(name, _curves(random, count)) for name, count in epochs.items()]
    return {
        "schema": 2,
        "experiment": "pruned_quantized",
        "seed": 0,
        "environment": {
            "cores": 2, "python": "3.11.9", "packages": {"tensorflow": "2.21.0", "tf-keras": "2.21.0"},
            "git_commit": "0123abc", "command": "make train-pruned_quantized DATA=data/gtsrb48",
        },
        "task": {"kind": "Classification", "name": "classification", "image_size": [48, 48]},
        "data_fingerprint": "c0ffee",
        "baseline": {"val_score": 0.962, "weights": "gtsrb_resnet50_48.h5"},
        "rows": rows,
        "skipped": [{"stage": "quantize_aware", "target": "litert_float32",
                     "reason": "A quantization-aware model carries 8-bit ranges; take litert_int8."}],
        "stages": [
            {"name": name, "recipe": "control" if "train" in name else "main", "keras_score": 0.95, "curves": history,
             "seconds": 371.0, "promise": "70 % zeros" if "prune" in name else None,
             "settings": {"kind": name[2:], "epochs": len(history["epoch"]), "learning_rate": 1e-4}}
            for name, history in curves
        ],
        "expect": [
            {"name": "score_drop", "bound": 0.01, "value": 0.005, "unit": "points", "row": ROWS[7][0], "passed": True},
            {"name": "size_ratio", "bound": 0.30, "value": 0.2566, "row": ROWS[7][0], "passed": True},
            {"name": "latency_ratio", "bound": 0.5, "value": 0.21, "row": ROWS[7][0], "passed": True},
        ],
    }  # fmt: skip


@pytest.fixture(scope="session")
def drawn(_full_report: dict) -> dict[str, bytes]:
    """Every figure of the full report, drawn once."""
    regressions = _full_report["rows"][7]["regressions"]
    return figures(_full_report) | {"regressions": contact_sheet(regressions, np.zeros((14, 48, 48, 3), np.uint8))}


@pytest.fixture
def full_report(_full_report: dict) -> dict:
    return copy.deepcopy(_full_report)


@pytest.fixture
def bare_report() -> dict:
    """Only the keys that every report has, and some of them unknown."""
    row = {
        "name": "baseline/litert_float32", "stage": "baseline", "target": "litert_float32", "reference": True,
        "score": 0.951, "score_low": None, "score_high": None, "score_delta": 0.0, "score_delta_low": None,
        "score_delta_high": None, "agreement": 1.0, "examples": 1055, "size_bytes": 94_000_000, "gzip_bytes": None,
        "parameters": 23_600_000, "nonzero_parameters": None, "macs": None, "latency_ms": None,
        "latency_p95_ms": None, "threads": None, "seconds": None,
    }  # fmt: skip
    small = {**row, "name": "baseline/onnx", "target": "onnx", "reference": False, "size_bytes": 24_000_000,
             "score": 0.940, "score_delta": -0.011}  # fmt: skip
    return {"schema": 2, "experiment": "bare", "seed": 0, "environment": {}, "rows": [row, small]}


@pytest.fixture(scope="session")
def _driving_report() -> dict:
    return driving()


@pytest.fixture
def driving_report(_driving_report: dict) -> dict:
    """A detector on built-in scenes, float, int8 and int8 with narrow layers: slices, corruptions, clips."""
    return copy.deepcopy(_driving_report)


def driving() -> dict:
    random = np.random.default_rng(1)
    lines = (
        ("baseline/litert_float32", 0.412, 98.0 * MB, 90.0 * MB, 0.99, 21.0, 1.0, "litert xnnpack"),
        ("baseline/litert_int8", 0.405, 25.1 * MB, 21.0 * MB, 0.98, 6.1, 3.4, "litert xnnpack"),
        ("detection_channels_quantized/litert_int8", 0.396, 5.9 * MB, 5.1 * MB, 0.98, 1.9, 11.0, "litert xnnpack"),
    )
    names = ("car", "truck", "pedestrian", "cyclist", "traffic light", "traffic sign")
    examples, scores = np.array([310, 41, 122, 38, 77, 140]), np.array([0.61, 0.55, 0.31, 0.28, 0.34, 0.38])
    # Signs are not what this one sees: their classes are replaced.
    rows = [_row(line, np.full(len(CLASSES), 10), np.full(len(CLASSES), 0.9), random) for line in lines]
    clean, by_place = [0.42, 0.414, 0.401], [0.0, -0.008, -0.03]
    for row, own, lost in zip(rows, clean, by_place, strict=True):
        delta = row["score"] - lines[0][1]
        changes = delta * np.array([0.5, 1.5, 1.7, 0.9, 0.6, 0.8])
        classes = zip(names, scores, examples, changes, strict=True)
        row["per_class"] = {name: {"score": score + change, "examples": int(count), "delta": change}
                            for name, score, count, change in classes}  # fmt: skip
        row |= {"reference": row is rows[0], "score_delta": delta, "examples": 400, "agreement": 1 + 8 * delta}
        row |= {"score_delta_low": 1.5 * delta, "score_delta_high": 0.5 * delta, **_numbers(delta)}
        row["own_numbers"] = list(_numbers(delta))
        row |= {"slices": _slices(delta), **_corrupted(own, lost), "stage": row["name"].split("/")[0]}
        row["temporal"] = {"clips": 6, "frames": 15, "flicker": 0.08 - 2 * delta, "box_jitter": 0.06 - delta}
    for row in rows:
        _against(row, rows[0])
    rows[2]["regressions"] = [
        {"index": 3 * i, "truth": "2 car, 1 pedestrian", "reference_says": "2 car, 1 pedestrian" if i % 2 else "1 car",
         "says": "1 car"} for i in range(14)
    ]  # fmt: skip
    expect = [
        {"name": "score_drop", "bound": 0.02, "value": 0.016, "unit": "points", "row": lines[2][0], "passed": True}
    ]
    return {"schema": 2, "experiment": "detection_channels_quantized", "seed": 0, "environment": {"cores": 2},
            "task": {"kind": "Detection", "name": "detection"}, "rows": rows, "expect": expect}  # fmt: skip


def _numbers(delta: float) -> dict[str, float]:
    sizes = {"ap_small": 0.15 + delta, "ap_medium": 0.44 + delta, "ap_large": 0.71 + delta}
    missed = {"miss_rate_at_0.1": 0.52 - delta, "miss_rate_at_1": 0.2 - delta, "log_average_miss_rate": 0.4 - delta}
    return {"ap50": 0.66 + delta, **sizes, "pedestrians": 122, **missed}


def _slices(delta: float) -> dict[str, dict]:
    weathers = {"clear": (0.45, 1, 180), "fog": (0.33, 3, 41), "rain": (0.39, 2, 97), "snow": (0.36, 0.5, 82)}
    times = {"day": (0.44, 0.7, 250), "dusk": (0.4, 1, 70), "night": (0.31, 2, 80)}
    return {
        attribute: {name: {"score": score + times * delta, "delta": times * delta, "examples": examples}
                    for name, (score, times, examples) in values.items()}
        for attribute, values in (("weather", weathers), ("time of day", times))
    }  # fmt: skip


def _corrupted(clean: float, lost: float) -> dict:
    """Each corruption takes more than the one before, at each severity more; `lost` is the row's own, at its worst."""
    steps = np.array(SEVERITIES) / len(SEVERITIES)
    scores = {
        name: (clean - 0.03 * (i + 1) * steps + lost * steps * i / 8).tolist() for i, name in enumerate(CORRUPTIONS)
    }
    return {"robustness": {"examples": 100, "severities": list(SEVERITIES), "clean": clean, "scores": scores}}


def _against(row: dict, first: dict) -> None:
    """What measures/robustness.py makes of such scores."""
    ours, theirs = (np.array(list(one["robustness"]["scores"].values())) for one in (row, first))
    deltas = ours - theirs
    name, severity = np.unravel_index(np.argmin(deltas), deltas.shape)
    row |= {
        "corruption_score": float(ours.mean()), "corruption_delta": float(deltas.mean()),
        "fragility": row["robustness"]["clean"] - first["robustness"]["clean"] - float(deltas.mean()),
        "worst_corruption": f"{CORRUPTIONS[name]} {SEVERITIES[severity]}",
        "worst_corruption_delta": float(deltas.min()),
    }  # fmt: skip


def _row(line: tuple, examples: np.ndarray, scores: np.ndarray, random: np.random.Generator) -> dict:
    name, score, size, packed, nonzero, latency, faster, runtime = line
    delta = score - ROWS[0][1]
    changes = np.zeros(len(CLASSES))
    if delta:
        changes = np.round(random.normal(delta, 0.03, len(CLASSES)) * examples) / examples
        changes = np.clip(scores + changes, 0, 1) - scores
    stage, target = name.split("/")
    return {
        "name": name, "stage": stage, "target": target, "reference": name == ROWS[0][0], "score": score,
        "score_low": score - 0.019, "score_high": score + 0.016, "score_delta": delta,
        "score_delta_low": delta - 0.006 if delta else 0.0, "score_delta_high": delta + 0.006 if delta else 0.0,
        "agreement": 1 - 2.5 * abs(delta), "examples": 1055, "size_bytes": int(size), "gzip_bytes": int(packed),
        "parameters": 23_600_000, "nonzero_parameters": int(nonzero * 23_600_000), "macs": 185_000_000,
        "latency_p95_ms": 1.1 * latency, "threads": 2, "seconds": 8.2, "runtime": runtime, "latency_spread": 0.06,
        **timed("", latency, faster), **timed("_1", 1.8 * latency, 1.1 * faster), **timed("_2", latency, faster),
        "speedup_best": faster, "speedup_best_spread": 0.04, "score_macro": score - 0.012,
        "size_ratio": size / ROWS[0][2], "gzip_ratio": packed / ROWS[0][3],
        "per_class": {
            label: {"score": float(base + change), "examples": int(count), "delta": float(change)}
            for label, base, change, count in zip(CLASSES, scores, changes, examples, strict=True)
        },
    }  # fmt: skip


def timed(end: str, latency: float, faster: float, spread: float = 0.04) -> dict[str, float]:
    """What measures/latency.py writes of one number of threads."""
    return {f"latency_ms{end}": latency, f"reference_latency_ms{end}": latency * faster, f"speedup{end}": faster,
            f"speedup{end}_spread": spread}  # fmt: skip


def _regressions(random: np.random.Generator) -> list[dict]:
    pairs = random.integers(0, len(CLASSES), (14, 2))
    return [{"index": 71 * i, "truth": CLASSES[a], "reference_says": CLASSES[a], "says": CLASSES[b]}
            for i, (a, b) in enumerate(pairs)]  # fmt: skip


def _layer_sparsity(random: np.random.Generator) -> dict[str, float]:
    names = [f"conv{group}_block{block}_{conv}_conv" for group, blocks in ((2, 3), (3, 4), (4, 6), (5, 3))
             for block in range(1, blocks + 1) for conv in (1, 2, 3)]  # fmt: skip
    inner = {name: float(random.uniform(0.69, 0.72)) for name in names}
    return {"conv1_conv": 0.02, **inner, "logits": 0.01}


def _curves(random: np.random.Generator, epochs: int) -> dict[str, list]:
    steps = np.arange(1, epochs + 1)
    return {
        "epoch": steps.tolist(),
        "loss": (0.4 * np.exp(-steps / 2) + 0.05 + 0.01 * random.random(epochs)).tolist(),
        "val_score": (0.96 - 0.05 * np.exp(-steps)).tolist(),
        "learning_rate": (1e-4 * np.ones(epochs)).tolist(),
    }
