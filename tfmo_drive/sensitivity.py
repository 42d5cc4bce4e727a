"""Which layers can be compressed, and how far: what is lost with one layer at a time sparse, narrow, thin or coarse.

    python -m tfmo_drive.sensitivity --experiment=pruned --data=path/to/images --weights=baseline.h5
    python -m tfmo_drive.sensitivity --experiment=pruned --methods=sparsity,channels --examples=1000
    python -m tfmo_drive.run --experiment=pruned --set=recipe.0.allocation=runs/pruned/sensitivity/sensitivity.json

Nothing is trained (but the experiment's baseline, where none is given); scores are of validation examples. Everything
goes into <workdir>/sensitivity, after every layer; the same command goes on where it was stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags, logging
from tqdm import tqdm

from tfmo_drive import experiment_flags
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.core import atomic, environment, run_folder, sensitivity
from tfmo_drive.core.command_line import guarded
from tfmo_drive.core.spelling import suggestion

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(experiment_flags)
flags.DEFINE_list("methods", None, "Some of sparsity, channels, rank, bits. Default: all.")
flags.DEFINE_integer("examples", 500, "At most so many validation examples score each layer.", lower_bound=1)

CALIBRATION = 256
"""Train images whose activations say which directions of a kernel matter: LowRank's own default."""


def main(argv: list[str]) -> int:
    if len(argv) > 1:
        raise BadInput(f"Unexpected {argv[1]!r}. Settings are given as --set=name=value; see --help.")
    from tfmo_drive.core.probes import METHODS
    from tfmo_drive.experiment import Run
    from tfmo_drive.report.sensitivity import write

    name, chosen, workdir = experiment_flags.chosen()
    methods = FLAGS.methods or list(METHODS)
    for method in methods:
        if method not in METHODS:
            raise BadInput(f"--methods: no method {method!r}. {suggestion(method, METHODS)}")
    logging.set_verbosity(logging.INFO)
    folder = workdir / "sensitivity"
    with Run(name=name, experiment=chosen, workdir=workdir, seed=FLAGS.seed).opened() as context:
        found = study(context, methods, FLAGS.examples, folder / sensitivity.FILE)
        write({**found, "experiment": name, "environment": environment.describe()}, folder)
    print(folder / "sensitivity.html")
    return 0


def study(context: Context, methods: list[str], examples: int, path: Path) -> dict[str, Any]:
    """The study's file (core.sensitivity) with these methods in it, written to `path` after every part; parts that an
    interrupted study of the same model and data has finished are not asked again."""
    from tfmo_drive.core import graph, layers, probes, scoring

    model = graph.copied(context.baseline)
    count = len(context.task.examples("val"))
    generator = np.random.default_rng([context.seed, 0x5E45])
    indices = np.sort(generator.permutation(count)[:examples])
    key = run_folder.key(layers.weights_digest(model), context.task.fingerprint(), context.seed, len(indices))
    scorer = scoring.Scorer(model, context.task)
    found = _begun(path, key)
    found |= {"score": scorer("val", indices), "examples": len(indices), "split": "val"}
    inputs = context.task.preprocessing(context.calibration(CALIBRATION))
    for name in methods:
        method = probes.METHODS[name]
        one = found["methods"].setdefault(name, {"unit": method.unit, "strengths": list(method.strengths), "drops": {}})
        parts = method.parts(model, inputs)
        for part in tqdm(parts, desc=name, unit="part", disable=None):
            if part not in one["drops"]:
                scores = [_scored(model, parts[part](strength), scorer, indices) for strength in method.strengths]
                one["drops"][part] = [found["score"] - score for score in scores]
                atomic.write_json(path, found)
    return found


def _begun(path: Path, key: str) -> dict[str, Any]:
    """What an earlier study of the same model, data, seed and examples left, or an empty one."""
    if path.exists():
        found = sensitivity.read(path)
        if found.get("key") == key:
            return found
        logging.info("%s is of another model, data, seed or number of examples: made again", path)
    return {"schema": sensitivity.SCHEMA, "key": key, "methods": {}}


def _scored(model: Any, kernels: Mapping[str, np.ndarray], scorer: Callable, indices: np.ndarray) -> float:
    """The score with these kernels in the place of the model's own, which come back."""
    variables = {name: model.get_layer(name).kernel for name in kernels}
    before = {name: variable.numpy() for name, variable in variables.items()}
    for name, kernel in kernels.items():
        variables[name].assign(kernel)
    try:
        return scorer("val", indices)
    finally:
        for name, variable in variables.items():
            variable.assign(before[name])


if __name__ == "__main__":
    app.run(guarded(main))
