"""Damaged JSON lines: every row has the numbers and words of its line, or a slip is named."""

import json

import numpy as np
from damage import damaged_json, mostly_damaged

from tfmo_drive.tasks.sensor_rows.row_tables import Columns, Table

ROWS = 30


def test_damaged_json_lines_are_read_right_or_refused(fuzz):
    def attempt(case):
        path, random = case.folder / "rows.jsonl", case.random
        rows = [{"speed": float(random.normal()), "yaw": int(random.integers(99)), "label": f"gear {n % 3}"}
                for n in range(ROWS)]  # fmt: skip
        if random.random() < 0.4:
            rows[int(random.integers(ROWS))] = damaged_json(random, rows[0], most=2)
        text = "".join(json.dumps(row) + "\n" for row in rows)
        path.write_bytes(mostly_damaged(random, text, most=1) if random.random() < 0.5 else text.encode())

        def read():
            table = Table(path, Columns(target="label"), True)
            return table, list(table.chunks())

        read = case.read(path, read)
        if read is None:
            return
        table, chunks = read
        lines = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        truth = [json.loads(line) for line in lines if line.strip()]
        assert sum(len(chunk.inputs) for chunk in chunks) == len(truth)
        found = np.concatenate([chunk.inputs for chunk in chunks])
        assert np.array_equal(found, np.array([[row[name] for name in table.columns] for row in truth], float))
        words = [table.classes[int(code)] for chunk in chunks for code in chunk.targets]
        assert words == [str(row["label"]).strip() for row in truth]

    fuzz(attempt, cases=100)
