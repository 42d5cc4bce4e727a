"""What each layer can bear, shared out: by hand, and for arbitrary curves."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tfmo_drive.contracts import BadInput
from tfmo_drive.surgery import sensitivity_curves
from tfmo_drive.surgery.sensitivity_curves import Curve, Curves


def test_each_part_goes_as_far_as_one_common_drop_lets_it():
    """tough loses 0.1 at half, weak at a quarter of the way to half; a million examples see every drop."""
    curves = Curves((0.125, 0.5), {"tough": Curve(100, (0.0, 0.1)), "weak": Curve(100, (0.1, 0.9))}, 0.9, 1_000_000)

    found = curves.shares({"tough": 100, "weak": 100}, (0.5 + 0.125) / 2)

    assert found == pytest.approx({"tough": 0.5, "weak": 0.125}, abs=1e-4)


def test_what_no_example_sees_is_shared_evenly():
    curves = Curves((0.5,), {"one": Curve(10, (0.0,)), "other": Curve(90, (-0.01,))}, 1.0, 100)
    assert curves.shares({"one": 10, "other": 90}, 0.3) == pytest.approx({"one": 0.3, "other": 0.3})


@given(
    st.lists(st.tuples(st.integers(1, 1000), st.lists(st.floats(-0.1, 1), min_size=3, max_size=3)), min_size=1),
    st.floats(0, 1),
)
@example([(1000, [0.0, 0.0, 0.0])] * 20, 1e-12)
def test_shares_make_the_total_that_was_asked_for(parts, total):
    seen = {str(i): Curve(size, tuple(drops)) for i, (size, drops) in enumerate(parts)}
    curves, sizes = Curves((0.25, 0.5, 0.9), seen, 1.0, 500), {name: one.size for name, one in seen.items()}

    found = curves.shares(sizes, total)

    assert all(0 <= share <= 1 for share in found.values())
    assert sum(found[part] * size for part, size in sizes.items()) == pytest.approx(total * sum(sizes.values()))


@pytest.mark.parametrize("sizes", [{"other": 1}, {"conv": 2}])
def test_a_layer_that_the_study_did_not_see_is_named(sizes):
    with pytest.raises(BadInput, match="knows no '(other|conv)' of size"):
        Curves((0.5,), {"conv": Curve(1, (0.1,))}, 1.0, 10).shares(sizes, 0.5)


STUDY = {
    "schema": 1, "method": "rank", "score": 0.9, "examples": 7, "strengths": [0.1],
    "parts": {"conv": {"size": 3, "drops": [0.2]}},
}  # fmt: skip


@pytest.mark.parametrize(("content", "said"), [
    (None, "No .*tfmo-drive sensitivity "), ("{", "is not a study of sensitivity"), ("[]", "no study of schema 1"),
    ('{"schema": 1, "rows": []}', "no study of schema 1"), (json.dumps(STUDY | {"schema": 2}), "no study of schema 1"),
    (json.dumps(STUDY | {"method": "bits"}), "a study of bits, not of rank. Name rank.json"),
])  # fmt: skip
def test_a_file_that_cannot_serve_is_refused(tmp_path, content, said):
    path = tmp_path / "study.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadInput, match=said):
        sensitivity_curves.curves(str(path), "rank")


def test_curves_are_read_as_they_were_written(tmp_path):
    (tmp_path / "rank.json").write_text(json.dumps(STUDY))
    found = sensitivity_curves.curves(str(tmp_path / "rank.json"), "rank")
    assert found == Curves((0.1,), {"conv": Curve(3, (0.2,))}, 0.9, 7)
    assert np.all(np.diff(found._rising((0.2,))[1]) > 0)
