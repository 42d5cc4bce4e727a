"""Makes golden examples: raw inputs, and the integers that the file must answer with."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from tfmo_drive.base.finite import refuse_answers
from tfmo_drive.base.inputs import count
from tfmo_drive.base.outputs import at
from tfmo_drive.contracts import Arrays, BadInput, Context
from tfmo_drive.pack.verify import DECIDED, MOST_STEPS, clear
from tfmo_drive.runtimes.interpreters import LiteRTArtifact

EXAMPLES, CANDIDATES = 16, 64


@dataclasses.dataclass(frozen=True, eq=False)
class Golden:
    """Holds golden inputs and outputs, and how close another machine must come."""

    inputs: Arrays
    outputs: dict[str, np.ndarray]
    """The answers by name, as the file holds them (int8), on LiteRT's reference kernels."""
    bound_lsb: dict[str, int]
    """The largest difference of another machine's answers by the kernels that it uses, in steps. On XNNPACK, whose
    kernels differ between processors, it is twice what was seen here and one."""
    decided: bool

    def facts(self) -> dict:
        """Returns the golden set's facts in JSON types."""
        return {"examples": count(self.inputs), "bound_lsb": self.bound_lsb, "decided": self.decided}


def golden(model: Path, context: Context, kind: str) -> Golden:
    """Returns golden examples out of seeded ones of the test split.

    Where an arg max decides, only examples are taken whose decision the bound cannot change.

    Args:
        model: The file.
        context: Gives the task and the seed.
        kind: The kind of output in the task's `decode`.
    """
    examples = context.task.examples("test")
    generator = np.random.default_rng([context.seed, 0x601D])
    inputs = examples.read(np.sort(generator.permutation(len(examples))[:CANDIDATES]))[0]
    exact, fast = (LiteRTArtifact(model, kernels=kernels).held(inputs) for kernels in ("reference", "xnnpack"))
    refuse_answers(exact, str(model), "Look for the layer with `tfmo-drive ledger`.")
    seen = max(int(np.abs(exact[name].astype(np.float64) - fast[name]).max()) for name in exact)
    bound = 2 * seen + 1
    if bound > MOST_STEPS:
        raise BadInput(
            f"{model}: XNNPACK answers up to {seen} steps from LiteRT's reference kernels, so that no bound would "
            "prove anything. Look for the layer with `tfmo-drive ledger`."
        )
    decided, chosen = kind in DECIDED and len(exact) == 1, np.arange(count(inputs))
    if decided:
        (answers,) = exact.values()
        sure = np.flatnonzero(clear(answers, bound))
        decided, chosen = len(sure) > 0, sure if len(sure) else chosen
    chosen = chosen[:EXAMPLES]
    kept = {name: values[chosen] for name, values in exact.items()}
    return Golden(at(inputs, chosen), kept, {"reference": 0, "xnnpack": bound}, decided)
