"""Speed as ratios within one run: `make bench`, or `python -m tests.bench qat_step prune_step` for some of them.

Writes runs/bench/bench.json: {"qat_step": {"ratio", "ours_s", "reference_s", "spread", "bar", ...}, ...}. Ours and the
reference take turns, so that the machine's drift cancels; the ratio is that of the median round, whose
seconds stand beside it, and the spread (max - min) / that ratio.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from absl import logging

from tests.bench import conversions, memory, pipelines, reading, steps
from tfmo_drive.base import atomic, environment

BENCHES = {
    "train_step": steps.train_step,
    "qat_step": steps.qat_step,
    "prune_step": steps.prune_step,
    "cluster_step": steps.cluster_step,
    "distill_step": steps.distill_step,
    "int8_conversion": conversions.int8_conversion,
    "all_artifacts": conversions.all_artifacts,
    "training_memory": memory.training_memory,
    "rows_memory": memory.rows_memory,
    "channels_at_224": memory.channels_at_224,
    "detection_input": pipelines.detection_input,
    "segmentation_input": pipelines.segmentation_input,
    "steering_input": pipelines.steering_input,
    "evaluation": pipelines.evaluation,
    "classes_listing": reading.classes_listing,
    "boxes_listing": reading.boxes_listing,
    "masks_listing": reading.masks_listing,
    "packing": reading.packing,
}
OUT = Path("runs/bench/bench.json")


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"No bench {unknown[0]!r}. There is: {', '.join(BENCHES)}.", file=sys.stderr)
        return 1
    logging.set_verbosity(logging.WARNING)
    results = json.loads(OUT.read_text()) if OUT.exists() else {}
    for name in names or BENCHES:
        results[name] = BENCHES[name]()
        results["environment"] = environment.describe()
        atomic.write_json(OUT, results)
        found = results[name]
        verdict = "ok" if found["ratio"] <= found["bar"] else "MISSED"
        extra = {key: value for key, value in found.items() if key.startswith("stock")}
        bar = f"(bar {found['bar']}, spread {found['spread']:.0%})"
        print(f"{name}: ratio {found['ratio']:.3f} {bar} {verdict} {extra}", flush=True)
    return 0 if all(results[name]["ratio"] <= results[name]["bar"] for name in names or BENCHES) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
