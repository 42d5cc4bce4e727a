"""Show which layers can be compressed, and how far: what is lost with one at a time sparse, narrow, thin or coarse.

    tfmo-drive sensitivity --experiment=pruned --data=path/to/images --weights=baseline.h5
    tfmo-drive sensitivity --experiment=pruned --methods=sparsity,channels --examples=1000
    tfmo-drive run --experiment=pruned --set=recipe.0.allocation=runs/pruned/sensitivity/sparsity.json

Of the experiment only its baseline is read (and trained, where none is given); scores are of validation examples.
Everything goes into <workdir>/sensitivity, after every layer; the same command goes on where it was stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags, logging
from tqdm import tqdm

from tfmo_drive.base import atomic, environment, run_folder
from tfmo_drive.base.recipe import refuse_unchangeable
from tfmo_drive.base.spelling import suggestion
from tfmo_drive.commands import baseline_worth, experiment_flags, shared_flags  # noqa: F401 (defines --examples)
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.surgery import sensitivity_curves

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(experiment_flags)
flags.DEFINE_list("methods", None, "Some of sparsity, channels, rank, bits. Default: all.")
flags.declare_key_flag("examples")

CALIBRATION = 256
"""The number of train images whose activations tell which directions of a kernel matter: LowRank's own default."""


def main(argv: list[str]) -> int:
    """Prints what each layer's compression costs, writes the studies and their page, and returns the exit code."""
    from tfmo_drive.commands.sensitivity.probes import METHODS
    from tfmo_drive.commands.sensitivity.sensitivity_page import write

    run = experiment_flags.run(argv)
    methods = FLAGS.methods or list(METHODS)
    for method in methods:
        if method not in METHODS:
            raise BadInput(f"--methods: no method {method!r}. {suggestion(method, METHODS)}")
    folder = run.workdir / "sensitivity"
    with run.opened() as context:
        examples = FLAGS.examples or baseline_worth.EXAMPLES
        baseline_worth.warn(context, "val", examples)
        found = studies(context, methods, examples, folder)
        if not any(study["parts"] for study in found):
            raise BadInput(f"The baseline has nothing that {' or '.join(methods)} could compress.")
        print(write(found, run.name, environment.describe()["command"], folder))
    print(folder / "sensitivity.html")
    return 0


def studies(context: Context, methods: list[str], examples: int, folder: Path) -> list[dict[str, Any]]:
    """Returns a study by each of these methods, kept in `folder`/<method>.json (sensitivity_curves) after every part.

    What an interrupted study of the same model and data has finished is not computed again.

    Args:
        context: Gives the task, the baseline and the seed.
        methods: The names of methods (probes.METHODS).
        examples: The number of validation examples that are scored.
        folder: The folder of the studies.
    """
    from tfmo_drive.commands.sensitivity import probes
    from tfmo_drive.networks import graph, layers
    from tfmo_drive.training import scoring

    refuse_unchangeable("sensitivity", context.baseline)
    model = graph.copied(context.baseline)
    indices = baseline_worth.sampled(context, "val", examples)
    facts = [layers.weights_digest(model), context.task.fingerprint(), context.seed, len(indices)]
    scorer = scoring.Scorer(model, context.task)
    score = scorer("val", indices)
    inputs = context.task.preprocessing(context.calibration(CALIBRATION))
    found = []
    for name in methods:
        method = probes.METHODS[name]
        study = {
            "schema": sensitivity_curves.SCHEMA, "method": name, "unit": method.unit, "step": method.step,
            "key": run_folder.key(*facts, method.strengths), "score": score, "examples": len(indices),
            "strengths": list(method.strengths), "parts": {},
        }  # fmt: skip
        path = folder / f"{name}.json"
        study["parts"] |= _finished(path, study["key"])
        for part, one in tqdm(method.parts(model, inputs).items(), desc=name, unit="part", disable=None):
            if part not in study["parts"]:
                changed = one.opened()
                scores = [_scored(model, changed(strength), scorer, indices) for strength in method.strengths]
                study["parts"][part] = {"size": one.size, "drops": [score - lower for lower in scores]}
                atomic.write_json(path, study)
        found.append(study)
    return found


def _finished(path: Path, key: str) -> dict[str, Any]:
    """Returns the parts of an earlier study of the same model, data, seed, examples and strengths."""
    try:
        found = sensitivity_curves.read(path)
    except BadInput as error:
        if path.exists():
            logging.warning("made again: %s", error)
        return {}
    if found.get("key") == key:
        return found["parts"]
    logging.info("%s is of another model, data, seed or number of examples: made again", path)
    return {}


def _scored(model: Any, kernels: Mapping[str, np.ndarray], scorer: Callable, indices: np.ndarray) -> float:
    """Returns the score with these kernels in place of the model's own, which come back."""
    variables = {name: model.get_layer(name).kernel for name in kernels}
    before = {name: variable.numpy() for name, variable in variables.items()}
    for name, kernel in kernels.items():
        variables[name].assign(kernel)
    try:
        return scorer("val", indices)
    finally:
        for name, variable in variables.items():
            variable.assign(before[name])
