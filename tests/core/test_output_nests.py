"""Arrays of a nest one after the other, without TensorFlow."""

from __future__ import annotations

import subprocess
import sys

from tfmo_drive.core.outputs import flat


def test_a_nest_is_flat_in_the_order_of_its_names():
    assert flat({"b": [1, (2, 3)], "a": {"d": 4, "c": 5}}) == [5, 4, 1, 2, 3]
    assert flat(7) == [7] and flat([]) == []


def test_outputs_and_the_gallery_need_no_tensorflow():
    code = "import sys, tfmo_drive.core.gallery, tfmo_drive.core.outputs; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"tensorflow", "tf_keras"} & set(done.stdout.split())
