"""Scores how well a network steers: errors in degrees, on curves alone, and what a controller feels, the jitter.

A frame's value is max(0, 1 - |error| / spread) (evaluation.of_numbers). The spread is the root mean square of the
training truth, so that the score is on the scale of steering itself; of a drive that is mostly straight, always
answering 0 is right most of the time. On the test split of the simulator's log, 71 % straight, that scores 0.79, and
0.26 on curves alone, which is why `score_curves` and `score_straight` stand beside the score.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfmo_drive.contracts import BadInput, Evaluation
from tfmo_drive.scores.evaluation import of_numbers


@dataclasses.dataclass(frozen=True, kw_only=True)
class SteeringScale:
    """Sets what an error is worth and what a curve is.

    Args:
        spread: The error that is worth nothing, as a share of full lock.
        degrees: The wheels' angle at full lock; 25 in Udacity's simulator (`deg2rad(25)` in CarND-MPC-Project's
            main.cpp).
        curve_degrees: Curves are steered more than this; 1 degree is a radius of 155 m at a wheelbase of 2.7 m.
    """

    spread: float
    degrees: float = 25.0
    curve_degrees: float = 1.0

    def __post_init__(self):
        for name in ("spread", "degrees"):
            if not getattr(self, name) > 0:
                raise BadInput(f"SteeringScale.{name} must be above 0, got {getattr(self, name)}.")
        if not 0 <= self.curve_degrees < self.degrees:
            raise BadInput(f"SteeringScale.curve_degrees must be in [0, {self.degrees}), got {self.curve_degrees}.")


def spread_of(truth: np.ndarray) -> float:
    """Returns the root mean square about straight ahead of training truth in [-1, 1].

    Raises BadInput where it never steers.
    """
    spread = float(np.sqrt(np.mean(np.square(truth, dtype=np.float64))))
    if not spread:
        raise BadInput("The training frames are all steered straight ahead, so there is nothing to learn. Add curves.")
    return spread


def of_steering(answers: np.ndarray, truth: np.ndarray, groups: np.ndarray, scale: SteeringScale) -> Evaluation:
    """Evaluates steering against the truth.

    Beside the score stand, in degrees at the wheels, error_degrees and, where there are curves, error_curves_degrees,
    with score_curves, wrong_sign_curves (the share steered to the other side; 0 is no side) and score_straight, what
    always straight ahead would score on all these frames. Where a group has two frames: jitter_degrees, the mean
    |change of answer - change of truth| from frame to frame, and jitter_answer_degrees and jitter_truth_degrees, the
    mean |change| of each alone.

    Args:
        answers: float [n] or [n, 1], 1 at full lock.
        truth: float [n] or [n, 1], 1 at full lock.
        groups: int [n]; frames of one group are in the order of time.
        scale: What an error is worth and what a curve is.
    """
    answers, truth = (np.asarray(values, np.float64).reshape(-1) for values in (answers, truth))
    judged = of_numbers(answers, truth, scale.spread)
    errors = np.abs(answers - truth) * scale.degrees
    more = {"error_degrees": float(errors.mean())}
    curves = np.abs(truth) * scale.degrees > scale.curve_degrees
    if curves.any():
        more["error_curves_degrees"] = float(errors[curves].mean())
        more["score_curves"] = float(judged.values[curves].mean())
        more["wrong_sign_curves"] = float((answers * truth < 0)[curves].mean())
        more["score_straight"] = of_numbers(np.zeros_like(truth), truth, scale.spread).score
    together = np.diff(groups) == 0
    if together.any():
        changes = {"": answers - truth, "_answer": answers, "_truth": truth}
        for name, values in changes.items():
            more[f"jitter{name}_degrees"] = float(np.abs(np.diff(values))[together].mean() * scale.degrees)
    return dataclasses.replace(judged, more=judged.more | more, errors=errors, unit="degrees")
