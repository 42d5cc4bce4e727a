"""Damaged studies of sensitivity: they share out what they say, or one line says what they cannot."""

import copy
import json

from damage import damaged_bytes, damaged_json

from tfmo_drive.surgery import sensitivity_curves

GOOD = {
    "schema": 1, "method": "sparsity", "unit": "weights", "step": "prune", "key": "x", "score": 0.9, "examples": 500,
    "strengths": [0.25, 0.5, 0.75],
    "parts": {"conv1": {"size": 100, "drops": [0.0, 0.01, 0.1]}, "dense": {"size": 50, "drops": [0.02, 0.05, 0.3]}},
}  # fmt: skip


def test_damaged_studies_share_out_or_are_refused(fuzz):
    def read(path):
        curves = sensitivity_curves.curves(str(path), "sparsity")
        return curves, curves.shares({name: part.size for name, part in curves.parts.items()}, 0.5)

    def attempt(case):
        path = case.folder / "sparsity.json"
        if case.random.random() < 0.7:
            path.write_text(json.dumps(damaged_json(case.random, copy.deepcopy(GOOD), 1)))
        else:
            path.write_bytes(damaged_bytes(case.random, json.dumps(GOOD).encode(), 1))
        found = case.read(path, lambda: read(path))
        if found:
            said = json.loads(path.read_text())
            curves, shares = found
            assert {name: list(part.drops) for name, part in curves.parts.items()} == {
                name: part["drops"] for name, part in said["parts"].items()
            }
            assert all(0 <= share <= 1 for share in shares.values())

    fuzz(attempt, cases=400)
