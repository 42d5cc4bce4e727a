"""Measures whether compression makes the model more fragile, by scores under corruptions.

Hendrycks & Dietterich 2019, arXiv:1903.12261. The file and the float one see the very same pixels
(measures.corruptions).
"""

from __future__ import annotations

import dataclasses
import weakref
from typing import Any

import numpy as np
from tqdm import tqdm

from tfmo_drive.base import outputs, run_folder
from tfmo_drive.base.spelling import suggestion
from tfmo_drive.contracts import Arrays, Artifact, BadInput, Context, Measure, Preprocessing
from tfmo_drive.measures.corruptions import CORRUPTIONS, SEVERITIES, corrupt

_scores: weakref.WeakKeyDictionary[Artifact, dict[tuple, dict]] = weakref.WeakKeyDictionary()
"""Keeps the reference's scores, by all that they depend on."""


@dataclasses.dataclass(frozen=True)
class Robustness(Measure):
    """Scores corrupted images on seeded examples of the test split; nothing where inputs are no images.

    Of several inputs, the images alone are corrupted.

    Args:
        corruptions: One or more of corruptions.CORRUPTIONS.
        severities: One or more of corruptions.SEVERITIES.
        examples: The number of examples, at least 1.

    Example:
        >>> import tfmo_drive as td
        >>> td.Robustness(corruptions=("fog",), severities=(1, 3)).examples
        100
    """

    has_section = True

    corruptions: tuple[str, ...] = CORRUPTIONS
    severities: tuple[int, ...] = SEVERITIES
    examples: int = 100

    def __post_init__(self) -> None:
        if not self.corruptions:
            raise BadInput(f"Robustness.corruptions must name one or more of {', '.join(CORRUPTIONS)}, got none.")
        for name in self.corruptions:
            if name not in CORRUPTIONS:
                raise BadInput(f'Robustness.corruptions: no "{name}". {suggestion(name, CORRUPTIONS)}')
        if not self.severities or not set(self.severities) <= set(SEVERITIES):
            raise BadInput(f"Robustness.severities must be among 1..{len(SEVERITIES)}, got {self.severities}.")
        if self.examples < 1:
            raise BadInput(f"Robustness.examples must be at least 1, got {self.examples}.")

    def __call__(self, artifact: Artifact, reference: Artifact, context: Context) -> dict[str, Any]:
        """Returns robustness, corruption_score and corruption_delta, fragility, worst_corruption and its delta.

        robustness is {"examples", "severities", "clean", "scores": {corruption: [score at each severity]}};
        corruption_score is the mean of these scores, and corruption_delta its difference to the reference's; fragility
        is how much more a corruption costs than it costs the reference, on average.
        """
        if not any(rule.dtype == "uint8" for rule in context.task.preprocessing.each):
            return {}
        task = context.task
        key = (run_folder.key(task.identity(), task.examples("test").fingerprint), context.seed, self)
        if key not in _scores.setdefault(reference, {}):
            _scores[reference][key] = self._measured(reference, context)
        theirs = _scores[reference][key]
        ours = theirs if artifact is reference else self._measured(artifact, context)
        if not np.isfinite([ours["clean"], theirs["clean"]]).all():
            return {}  # nothing to be found in the chosen examples
        table, before = (np.array(list(one["scores"].values())) for one in (ours, theirs))
        deltas = table - before
        name, severity = np.unravel_index(np.argmin(deltas), deltas.shape)
        return {
            "robustness": ours,
            "corruption_score": float(table.mean()),
            "corruption_delta": float(deltas.mean()),
            "fragility": float(ours["clean"] - theirs["clean"] - deltas.mean()),
            "worst_corruption": f"{self.corruptions[name]} {self.severities[severity]}",
            "worst_corruption_delta": float(deltas.min()),
        }

    def _measured(self, artifact: Artifact, context: Context) -> dict[str, Any]:
        examples = context.task.examples("test")
        generator = np.random.default_rng([context.seed, 0xF06])
        indices = np.sort(generator.permutation(len(examples))[: self.examples])
        raw, targets = examples.read(indices)

        def score(inputs: Arrays) -> float:
            return context.task.score(outputs.answered(artifact, inputs), targets)

        def corrupted(name: str, severity: int) -> Arrays:
            def change(rule: Preprocessing, one: np.ndarray) -> np.ndarray:
                return corrupt(one, name, severity, context.seed, indices) if rule.dtype == "uint8" else one

            return context.task.preprocessing.of_each(change, raw)

        names = tqdm(self.corruptions, f"{artifact.name}, corrupted", disable=None, leave=False)
        scores = {name: [score(corrupted(name, severity)) for severity in self.severities] for name in names}
        return {"examples": len(indices), "severities": self.severities, "clean": score(raw), "scores": scores}
