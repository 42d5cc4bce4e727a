"""Packed rows: what is read is what was given, once, whatever the chunks; splits keep groups whole."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmo_drive.contracts import BadInput
from tfmo_drive.tasks.sensor_rows import packed_rows
from tfmo_drive.tasks.sensor_rows.packed_rows import Chunk, RowExamples, RowPack, RowSource, Runs, pack
from tfmo_drive.tasks.sensor_rows.row_splits import Stretches, divided

GROUPS = np.array([4, 4, 4, 7, 7, 4, -1, -1])
SPLITS = np.array([0, 0, 1, 1, 1, 0, -1, -1])


class Given(RowSource):
    """Arrays, cut into chunks of `size`."""

    name, columns, classes = "given", ("a", "b", "c"), ("x", "y")

    def __init__(self, inputs, targets, size: int, groups=None, splits=None, key=None):
        count = len(inputs)
        groups = np.full(count, -1) if groups is None else groups
        splits = np.full(count, -1) if splits is None else splits
        self.parts = [Chunk(*(part[i : i + size] for part in (inputs, targets, groups, splits)))
                      for i in range(0, count, size)]  # fmt: skip
        self.key, self.read = key or [size, np.asarray(inputs).tolist(), np.asarray(targets).tolist()], 0

    def chunks(self):
        self.read += 1
        yield from self.parts


def values(count: int = 8) -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32), np.arange(count) % 2


def runs(*lines: tuple[int, int, int, int]) -> Runs:
    return Runs(*np.array(lines, np.int64).T)


def test_rows_come_back_in_any_order_with_ids_for_codes(tmp_path):
    inputs, targets = values()
    made = pack(Given(inputs, targets, 3), tmp_path)
    examples = RowExamples(made, runs((0, 8, 0, 0)), np.array([5, 9]))
    order = np.array([7, 0, 1, 2, 2])
    read, said = examples.read(order)
    assert read.dtype == np.float32 and np.array_equal(read, inputs[order]) and read.flags["C_CONTIGUOUS"]
    assert said.dtype == np.int64 and said.tolist() == [9, 5, 9, 5, 5]
    assert examples.read(np.zeros(0, int))[0].shape == (0, 3)


def test_a_number_is_a_float_of_its_own_column(tmp_path):
    inputs, _ = values()
    made = pack(Given(inputs, np.arange(8) / 4, 5), tmp_path)
    _, said = RowExamples(made, runs((0, 8, 0, 0))).read(np.array([6, 1]))
    assert said.dtype == np.float32 and said.tolist() == [[1.5], [0.25]]


def test_a_split_is_its_runs_one_after_the_other(tmp_path):
    inputs, targets = values()
    made = pack(Given(inputs, targets, 8), tmp_path)
    examples = RowExamples(made, runs((1, 3, 10, 0), (6, 8, 11, 0)), np.arange(2))
    assert len(examples) == 4 and examples.groups.tolist() == [10, 10, 11, 11]
    assert np.array_equal(examples.read(np.arange(4))[0], inputs[[1, 2, 6, 7]])
    for index in (-1, 4):
        with pytest.raises(IndexError):
            examples.read(np.array([index]))


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_runs_and_fingerprint_do_not_depend_on_chunks(tmp_path, size):
    inputs, targets = values()
    made = pack(Given(inputs, targets, size, GROUPS, SPLITS), tmp_path)
    assert np.stack(made.runs).T.tolist() == [[0, 2, 4, 0], [2, 3, 4, 1], [3, 5, 7, 1], [5, 6, 4, 0], [6, 8, -1, -1]]
    whole = pack(Given(inputs, targets, 8, GROUPS, SPLITS, key="whole"), tmp_path)
    assert made.fingerprint == whole.fingerprint
    other = pack(Given(inputs, targets, 8, GROUPS, SPLITS[::-1], key="other"), tmp_path)
    assert other.fingerprint != whole.fingerprint


def test_a_finished_pack_is_read_once(tmp_path):
    source = Given(*values(), 3)
    assert pack(source, tmp_path).fingerprint == pack(source, tmp_path).fingerprint and source.read == 1


def test_a_damaged_pack_is_refused(tmp_path):
    pack(Given(*values(), 3), tmp_path)
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    with open(folder / "rows.f32", "ab") as file:
        file.truncate(100)
    with pytest.raises(BadInput, match="is not 128 bytes"):
        RowPack(folder)


def test_no_rows_and_no_place_are_one_line(tmp_path):
    with pytest.raises(BadInput, match="No rows in given"):
        pack(Given(*values(0), 3), tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="Rows cannot be kept in .*: Not a directory. Make room there"):
        pack(Given(*values(), 3), tmp_path / "file" / "packs")


def test_summary_is_numpys_in_one_pass(tmp_path, monkeypatch):
    monkeypatch.setattr(packed_rows, "_STRETCH", 7)
    inputs = np.random.default_rng(1).normal([101_325, 0, 3], [50, 1e-3, 0], (50, 3)).astype(np.float32)
    targets = np.arange(50) % 2
    made = pack(Given(inputs, targets, 50), tmp_path)
    found = RowExamples(made, runs((10, 40, 0, 0)), np.array([3, 8])).summary()
    expected = inputs[10:40].astype(np.float64)
    np.testing.assert_allclose(found.mean, [*expected.mean(0), 0.5], rtol=1e-12)
    np.testing.assert_allclose(found.deviation, [*expected.std(0)[:2], 0, 0.5], rtol=1e-9)
    assert found.classes == {3, 8}


def test_what_float32_cannot_tell_from_a_constant_has_no_deviation(tmp_path):
    inputs = np.full((9, 3), 0.1, np.float32)
    inputs[:, 1] = np.arange(9)
    made = pack(Given(inputs, np.zeros(9), 9), tmp_path)
    assert (RowExamples(made, runs((0, 9, 0, 0))).summary().deviation > 0).tolist() == [False, True, False, False]


def test_reading_and_packing_do_not_grow_with_the_rows(tmp_path):
    program = (
        "import sys, numpy as np; from pathlib import Path;"
        "from tfmo_drive.tasks.sensor_rows.packed_rows import *;"
        "Source = type('Source', (RowSource,), {'name': 's', 'columns': tuple(map(str, range(100))), 'key': 's',"
        " 'classes': (), 'chunks': lambda self: (Chunk(np.ones((10000, 100), np.float32) * i, np.full(10000, i),"
        " np.full(10000, i // 7), np.zeros(10000, int)) for i in range(60))});"
        # Not ru_maxrss, which a process inherits from the one that starts it.
        "peak = lambda: int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]) // 1024;"
        "before = peak();"
        "made = pack(Source(), Path(sys.argv[1]));"
        "examples = RowExamples(made, made.runs);"
        "assert len(examples) == 600000;"
        "[None for i in range(0, 599000, 256) if examples.read(np.arange(i, i + 256)) is None];"
        "examples.summary();"
        "print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 80  # MB, of a pack of 242 MB


def test_given_splits_stay_and_missing_ones_are_drawn_out_of_train():
    known = [(10 * i, 10 * i + 10, i, 0 if i < 9 else 1) for i in range(10)]
    found = divided(runs(*known), Stretches(), 0, "here")
    assert found.split[9] == 1 and set(found.split[:9].tolist()) == {0, 2} and (found.split == 2).sum() == 1
    everything = [(10 * i, 10 * i + 10, i, i % 3) for i in range(10)]
    assert divided(runs(*everything), Stretches(), 0, "here").split.tolist() == [i % 3 for i in range(10)]


def test_ungrouped_rows_are_cut_into_stretches_that_are_groups():
    found = divided(runs((0, 105, -1, -1)), Stretches(count=10), 0, "here")
    assert found.first.tolist() == list(range(0, 105, 11)) and found.end[-1] == 105
    assert found.group.tolist() == list(range(10)) and np.bincount(found.split).tolist() == [6, 2, 2]


def test_a_gap_is_left_where_the_split_changes_inside_one_recording():
    whole = divided(runs((0, 100, -1, -1)), Stretches(count=10), 3, "here")
    parted = divided(runs((0, 100, -1, -1)), Stretches(count=10, gap=4), 3, "here")
    changes = np.diff(whole.split, prepend=whole.split[0]) != 0
    assert 2 <= changes.sum() and np.array_equal(parted.first - whole.first, 4 * changes)
    drives = runs(*[(10 * i, 10 * i + 10, i, i % 3) for i in range(6)])  # other recordings: nothing to keep apart
    assert np.array_equal(divided(drives, Stretches(gap=4), 0, "here").first, drives.first)


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(-1, 6)), min_size=5, max_size=12),
    st.integers(3, 30),
    st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_no_row_is_in_two_splits_and_no_group_is_cut(lengths, count, seed):
    ends = np.cumsum([length for length, _ in lengths])
    given_runs = runs(*[(end - length, end, group, -1) for (length, group), end in zip(lengths, ends, strict=True)])
    try:
        found = divided(given_runs, Stretches(count=count), seed, "here")
    except BadInput as error:
        assert "no rows for" in str(error)
        return
    covered = np.concatenate([np.arange(first, end) for first, end in zip(found.first, found.end, strict=True)])
    assert np.array_equal(covered, np.arange(ends[-1]))
    pairs = set(zip(found.group.tolist(), found.split.tolist(), strict=True))
    assert len(pairs) == len(set(found.group.tolist())) and set(found.split.tolist()) == {0, 1, 2}
    assert np.array_equal(np.stack(found), np.stack(divided(given_runs, Stretches(count=count), seed, "here")))


@pytest.mark.parametrize(
    ("known", "stretches", "words"),
    [
        (runs((0, 9, 3, 0), (9, 12, 3, 1), (12, 15, 4, 2)), Stretches(), "a group is in two splits"),
        (runs((0, 9, 3, -1), (9, 12, 4, -1)), Stretches(), "no rows for val, out of 2 groups"),
        (runs((0, 9, -1, -1)), Stretches(count=3, gap=5), "lower task.stretches.gap"),
    ],
)
def test_splits_that_cannot_be_are_one_line(known, stretches, words):
    with pytest.raises(BadInput, match=words):
        divided(known, stretches, 0, "here")


@pytest.mark.parametrize("change", [{"count": 2}, {"gap": -1}])
def test_stretches_out_of_range_are_refused_by_name(change):
    with pytest.raises(BadInput, match=f"Stretches.{next(iter(change))} must be at least"):
        Stretches(**change)
