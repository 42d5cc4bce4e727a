"""Damaged Parquet and Feather files, and columns of every type that both know."""

import datetime
import decimal
import io

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
from damage import damaged_bytes, pick

from tfmo_drive.tasks.sensor_rows.row_tables import Columns, Table

LARGEST = float(np.finfo(np.float32).max)
ROWS = 40


def _values(random: np.random.Generator) -> pa.Array:
    """A column of some type; some hold what is no number, or nothing."""
    numbers = random.normal(size=ROWS)
    whole = random.integers(0, 100, ROWS)
    words = [pick(random, ("stop", "yield", "", "1", "2.5")) for _ in range(ROWS)]
    column = pick(random, (
        lambda: pa.array(numbers), lambda: pa.array(numbers.astype(np.float32)),
        lambda: pa.array(numbers, pa.float16()),
        lambda: pa.array(whole, pick(random, (pa.int8(), pa.uint64(), pa.int32()))), lambda: pa.array(whole > 50),
        lambda: pa.array(words), lambda: pa.array([word.encode() for word in words]),
        lambda: pa.array([b"\xff\xfe"] * ROWS), lambda: pa.array([b"0123"] * ROWS, pa.binary(4)),
        lambda: pa.array(words).dictionary_encode(), lambda: pa.array([[float(n)] * 2 for n in numbers]),
        lambda: pa.array([{"x": float(n)} for n in numbers]), lambda: pa.nulls(ROWS),
        lambda: pa.array([datetime.date(2020, 1, 1)] * ROWS), lambda: pa.array([datetime.datetime(2020, 1, 1)] * ROWS),
        lambda: pa.array([datetime.timedelta(1)] * ROWS), lambda: pa.array([decimal.Decimal("1.25")] * ROWS),
        lambda: pa.array([[("a", 1.0)]] * ROWS, pa.map_(pa.string(), pa.float64())),
        lambda: pa.array(np.where(numbers > 1, np.nan, numbers)), lambda: pa.array([2**63] * ROWS, pa.uint64()),
        lambda: pa.array(numbers * 1e300), lambda: pa.array([datetime.time(1)] * ROWS),
    ))()  # fmt: skip
    if random.random() < 0.1:
        holes = random.random(ROWS) < 0.1
        column = pa.array(
            [None if hole else one for hole, one in zip(holes, column.to_pylist(), strict=True)], column.type
        )
    return column


def _stored(random: np.random.Generator, kind: str) -> bytes:
    names = ["speed", "yaw", "label", "split"][: int(random.integers(2, 5))]
    if random.random() < 0.05:
        names[0] = pick(random, ("label", "", "a.b", "é"))
    columns = [pa.array(random.normal(size=ROWS)) if random.random() < 0.6 else _values(random) for _ in names]
    if len(names) == 4:
        columns[3] = pa.array(["train", "val"] * (ROWS // 2)) if random.random() < 0.7 else columns[3]
    stream = io.BytesIO()
    table = pa.Table.from_arrays(columns, names=names)
    if kind == "parquet":
        pyarrow.parquet.write_table(table, stream, compression=pick(random, ("none", "snappy")), row_group_size=17)
    else:
        pyarrow.feather.write_feather(table, stream, pick(random, ("uncompressed", "lz4", "zstd")), chunksize=17)
    return stream.getvalue()


def test_damaged_parquet_is_read_right_or_refused(fuzz):
    def attempt(case):
        kind = pick(case.random, ("parquet", "parquet", "feather"))
        path, classes = case.folder / f"rows.{kind}", case.random.random() < 0.5
        data = whole = _stored(case.random, kind)
        if case.random.random() < 0.5:
            data = damaged_bytes(case.random, whole, most=2)
        path.write_bytes(data)

        def read():
            table = Table(path, Columns(target="label"), classes)
            return table, list(table.chunks())

        read = case.read(path, read)
        if read is None:
            return
        table, chunks = read
        found = np.concatenate([np.column_stack([chunk.inputs, chunk.targets]) for chunk in chunks])
        library = pyarrow.parquet if kind == "parquet" else pyarrow.feather
        truth = library.read_table(path).to_pydict()
        assert (np.abs(found) <= LARGEST).all()
        assert len(found) == len(truth["label"]) > 0
        for place, name in enumerate(table.columns):
            assert np.array_equal(found[:, place], np.array(truth[name], float))
        targets = [table.classes[int(code)] for code in found[:, -1]] if classes else found[:, -1]
        for target, value in zip(targets, truth["label"], strict=True):
            value = str(value).lower() if isinstance(value, bool) and classes else value
            assert target == (str(value).strip() if classes else value) or np.float32(target) == np.float32(value)

    fuzz(attempt, cases=250)
