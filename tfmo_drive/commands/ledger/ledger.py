"""Show where the score goes: the same images through every stage, Keras, each step, and the file on every runtime.

    tfmo-drive ledger --experiment=channels_quantized --data=path/to/images --weights=baseline.h5
    tfmo-drive ledger --experiment=quantized --examples=1000

Finished stages are reused, missing ones made first. Where two stages disagree, the first layer that differs is named.
Everything goes into <workdir>/ledger: ledger.json, .md and .html.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags, logging

from tfmo_drive.base import atomic, environment, outputs
from tfmo_drive.base.spelling import suggestion
from tfmo_drive.commands import experiment_flags, shared_flags  # noqa: F401 (defines --examples)
from tfmo_drive.contracts import Arrays, Artifact, BadInput, Context, Scores

if TYPE_CHECKING:
    from tfmo_drive.scores.statistics import Resampled

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(experiment_flags)
flags.declare_key_flag("examples")
flags.DEFINE_string("target", None, "Which target's file. Default: the one that the experiment judges, else its last.")
flags.DEFINE_float("agreement", 0.99, "Stages that decide alike less often than this are searched layer by layer.")
flags.DEFINE_float("sqnr_db", 20.0, "A layer below this signal-to-noise ratio differs.")

LOOKED_AT = 8
"""The number of images whose layers are compared: those whose outputs moved most."""


@dataclasses.dataclass(frozen=True, eq=False)
class Stage:
    """Describes one of the ways an image can go."""

    name: str
    runtime: str
    against: str
    """The stage that it should repeat; "" of the first one."""
    same_file: bool
    """Whether that one runs the same file."""
    said: Callable[[np.ndarray], Arrays]
    """Returns the outputs of the test examples at these indices."""
    layers: Callable[[np.ndarray], list] | None
    """Returns the LayerValues of raw inputs [n, ...]; None where a runtime does not show its layers."""


def main(argv: list[str]) -> int:
    """Prints where the score goes, stage by stage, writes the page, and returns the exit code."""
    from tfmo_drive.commands.ledger.ledger_page import write

    run = experiment_flags.run(argv)
    folder = run.workdir / "ledger"
    with run.chain() as chain:
        artifact = tflite(chain.artifacts, FLAGS.target, run.judged[1])
        stages = list(stages_of(chain.models, artifact, chain.context))
        found = ledger(stages, chain.context, FLAGS.examples or 200, FLAGS.agreement, FLAGS.sqnr_db)
        found |= {"experiment": run.name, "target": artifact.name, "environment": environment.describe()}
        atomic.write_json(folder / "ledger.json", found)
        print(write(found, folder))
    print(folder / "ledger.html")
    return 0


def tflite(artifacts: list[Artifact], target: str | None, judged: str) -> Artifact:
    """Returns the `.tflite` of `target`, else that of the target that the experiment judges, else the last one.

    Raises BadInput that says which there are.
    """
    known = {artifact.name: artifact for artifact in artifacts if artifact.path.suffix == ".tflite"}
    if not known:
        raise BadInput("None of the experiment's targets makes a .tflite. Add LiteRTInt8() to its targets.")
    if target and target not in known:
        raise BadInput(f"--target: no .tflite of {target!r}. {suggestion(target, known)}")
    return known[target] if target else known.get(judged, list(known.values())[-1])


def stages_of(models: dict, artifact: Artifact, context: Context) -> Iterator[Stage]:
    """Yields Keras after every step, then the file on LiteRT's two kernels, on micro and as ONNX, where it is int8."""
    from tfmo_drive.commands.ledger import layer_values
    from tfmo_drive.networks.fake_quant import is_quantize_aware
    from tfmo_drive.runtimes import tflite_file
    from tfmo_drive.runtimes.interpreters import LiteRTArtifact
    from tfmo_drive.training import scoring

    before = ""
    for name, model in models.items():
        runtime = "keras, fake-quantised" if is_quantize_aware(model) else "keras"
        scorer = scoring.Scorer(model, context.task)

        def layers(raw, model=model):
            return layer_values.of_keras(model, context.task.preprocessing(raw))

        yield Stage(name, runtime, before, False, lambda indices, one=scorer: one.said("test", indices)[0], layers)
        before = name
    path = artifact.source.path
    for kernels in ("reference", "xnnpack"):
        yield _of_file(LiteRTArtifact(path, kernels=kernels), before, context,
                       lambda raw, kernels=kernels: layer_values.of_litert(path, raw, kernels))  # fmt: skip
        before = before if kernels == "xnnpack" else "litert reference"
    if not tflite_file.float_operators(path):
        yield from _micro(path, before, context)
    yield from _onnx(path, before, context)


def _of_file(artifact: Artifact, before: str, context: Context, layers: Callable | None) -> Stage:
    name, examples = artifact.runtime, context.task.examples("test")
    return Stage(name, name, before, before == "litert reference" and layers is not None,
                 lambda indices: outputs.predicted(artifact, examples, indices), layers)  # fmt: skip


def _micro(path: Path, before: str, context: Context) -> Iterator[Stage]:
    from tfmo_drive.commands.ledger import layer_values
    from tfmo_drive.runtimes.micro import MicroArtifact

    artifact = MicroArtifact(path)
    try:
        logging.info("%s: an arena of %s bytes", artifact.runtime, artifact.arena["total"])
    except BadInput as error:
        logging.warning("%s", error)
        return
    yield _of_file(artifact, before, context, lambda raw: layer_values.of_micro(path, raw))


def _onnx(path: Path, before: str, context: Context) -> Iterator[Stage]:
    from tfmo_drive.conversion import conversion
    from tfmo_drive.runtimes import tflite_file
    from tfmo_drive.runtimes.interpreters import OnnxArtifact

    types = {end["dtype"] for ends in tflite_file.signature(path).values() for end in ends}
    if types != {"int8"} or tflite_file.float_operators(path):
        logging.info("onnxruntime: only files that are int8 from end to end have a twin with the same integers")
        return
    made = context.workdir.parent / "ledger" / "model.onnx"
    ends = tuple(end["name"] for end in tflite_file.signature(path)["outputs"])
    atomic.write_bytes(made, conversion.onnx_of(path.read_bytes(), ends))
    yield _of_file(OnnxArtifact(made), before, context, None)


def ledger(stages: list[Stage], context: Context, images: int, agreement: float, sqnr_db: float) -> dict[str, Any]:
    """Returns {"examples", "of", "agreement", "sqnr_db", "stages": [...]}.

    Every stage has its score with its interval, what it lost to the stage before it and to the first, how often both
    decide alike, and where they part; the first one also its score over the trivial answer.

    Args:
        stages: The stages, in order.
        context: Gives the task and the seed.
        images: The number of test examples.
        agreement: The share of equal decisions below which two stages are compared layer by layer.
        sqnr_db: The signal to noise below which a layer differs.
    """
    from tfmo_drive.measures.accuracy import over_trivial
    from tfmo_drive.scores.statistics import resampled

    def bootstrapped(scores: Scores) -> Resampled:
        return resampled(scores, groups, context.seed)

    examples = context.task.examples("test")
    indices = np.sort(np.random.default_rng([context.seed, 0x1ED6]).permutation(len(examples))[:images])
    targets, groups = examples.read(indices)[1], examples.groups[indices]
    known, rows = {}, []
    for stage in stages:
        said = stage.said(indices)
        judged = context.task.evaluate(said, targets)
        score = bootstrapped(judged.scores)
        known[stage.name] = stage, said, judged, score
        row = {"stage": stage.name, "runtime": stage.runtime, "against": stage.against, **score.numbers("score")}
        if stage.against:
            before, theirs, decided, other = known[stage.against]
            moved = outputs.distance(said, theirs)
            row |= {**(score - other).numbers("delta"), **(score - known[stages[0].name][3]).numbers("delta_first"),
                    "agreement": outputs.agreement(judged.decisions, decided.decisions),
                    "changed": float(np.mean(moved > 0))}  # fmt: skip
            searched = row["agreement"] < agreement or (stage.same_file and row["changed"] > 0)
            worst = indices[np.sort(np.argsort(-moved, kind="stable")[:LOOKED_AT])]
            row["parts_at"] = _parting(before, stage, examples.read(worst)[0], sqnr_db) if searched else "not searched"
        else:
            row |= over_trivial(context.task, judged, targets, score, bootstrapped)
        logging.info("%s: score %.4f", stage.name, judged.score)
        rows.append(row)
    return {"examples": len(indices), "of": len(examples), "agreement": agreement, "sqnr_db": sqnr_db, "stages": rows}


def _parting(before: Stage, stage: Stage, raw: np.ndarray, sqnr_db: float) -> dict | str:
    from tfmo_drive.commands.ledger import layer_values

    if before.layers is None or stage.layers is None:
        return "its layers cannot be seen"
    found = layer_values.parting(before.layers(raw), stage.layers(raw), sqnr_db, stage.same_file)
    return dataclasses.asdict(found) if found else "nowhere in particular"
