import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.base import faults
from tfmo_drive.base.cache import cache_root
from tfmo_drive.contracts import BadInput
from tfmo_drive.data import image_cache
from tfmo_drive.data.image_cache import Example, PackedExamples, pack, pack_generated, pack_stream
from tfmo_drive.data.images import Resize, decode
from tfmo_drive.data.splitting import Split

SIZE = (6, 8)


@pytest.fixture
def split(tmp_path):
    generator = np.random.default_rng(0)
    files = []
    for index in range(9):
        pixels = generator.integers(0, 256, (10 + index, 12, 3), np.uint8)
        files.append(tmp_path / f"{index}.png")
        Image.fromarray(pixels).save(files[-1])
    return Split(tuple(files), np.arange(9) % 3, np.arange(9) // 2)


def cut(file):
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8)).save(stream, "PNG")
    file.write_bytes(stream.getvalue()[:900])


def packs(folder):
    return [path for path in folder.iterdir() if path.is_dir()] if folder.exists() else []


def test_a_pack_holds_what_decode_gives(split, tmp_path):
    examples = pack(split, SIZE, folder=tmp_path / "packs")
    order = np.array([8, 0, 3, 3, -1])
    pixels, labels = examples.read(order)
    assert pixels.dtype == np.uint8 and pixels.shape == (5, *SIZE, 3)
    for image, index in zip(pixels, order, strict=True):
        assert np.array_equal(image, decode(split.files[index], SIZE))
    assert np.array_equal(labels, split.labels[order]) and np.array_equal(examples.groups, split.groups)
    assert len(examples) == 9
    with pytest.raises(IndexError):
        examples.read(np.array([9]))


def test_order_does_not_depend_on_chunks(split, tmp_path, monkeypatch):
    whole = pack(split, SIZE, folder=tmp_path / "a")
    monkeypatch.setattr(image_cache, "_CHUNK_BYTES", 2 * 6 * 8 * 3)
    assert pack(split, SIZE, folder=tmp_path / "b").fingerprint == whole.fingerprint


def test_a_finished_pack_is_reused_and_a_changed_one_is_not(split, tmp_path, monkeypatch):
    first = pack(split, SIZE, folder=tmp_path / "packs")
    monkeypatch.setattr(image_cache, "_decoded", None)  # decoding again would fail
    assert pack(split, SIZE, folder=tmp_path / "packs").fingerprint == first.fingerprint
    monkeypatch.undo()
    other = Split(split.files, split.labels[::-1].copy(), split.groups)
    Image.new("RGB", (5, 5)).save(tmp_path / "new.png")
    changed = Split((*split.files[:-1], tmp_path / "new.png"), split.labels, split.groups)
    variants = [
        pack(other, SIZE, folder=tmp_path / "packs"),
        pack(changed, SIZE, folder=tmp_path / "packs"),
        pack(split, (8, 6), folder=tmp_path / "packs"),
        pack(split, SIZE, Resize("nearest"), folder=tmp_path / "packs"),
    ]
    assert len({first.fingerprint, *(variant.fingerprint for variant in variants)}) == 5
    assert np.array_equal(first.read(np.arange(9))[1], split.labels)


def test_the_fingerprint_is_of_the_content_wherever_it_lies(split, tmp_path):
    moved = []
    for file in split.files:
        (tmp_path / "moved").mkdir(exist_ok=True)
        moved.append(file.rename(tmp_path / "moved" / file.name))
    later = pack(Split(tuple(moved), split.labels, split.groups), SIZE, folder=tmp_path / "b").fingerprint
    for file in moved:
        file.rename(tmp_path / file.name)
    assert pack(split, SIZE, folder=tmp_path / "a").fingerprint == later


def test_all_bad_images_are_named_at_once_and_nothing_is_left(split, tmp_path):
    cut(split.files[2])
    split.files[5].write_bytes(b"no image")
    with pytest.raises(BadInput) as caught:
        pack(split, SIZE, folder=tmp_path / "packs")
    text = str(caught.value)
    assert text.startswith(f"2 of 9 images cannot be read: {split.files[2]} (truncated), {split.files[5]} (not an im")
    assert "--set=task.skip_bad=True" in text and "\n" not in text
    assert not packs(tmp_path / "packs")


def test_bad_images_are_skipped_only_when_asked(split, tmp_path):
    cut(split.files[2])
    examples = pack(split, SIZE, folder=tmp_path / "packs", skip_bad=True)
    keep = [0, 1, 3, 4, 5, 6, 7, 8]
    assert len(examples) == 8 and np.array_equal(examples.labels, split.labels[keep])
    assert np.array_equal(examples.read(np.array([2]))[0][0], decode(split.files[3], SIZE))
    assert examples.facts["skipped"] == [[str(split.files[2]), "truncated"]]
    with pytest.raises(BadInput, match="1 of 9 images"):
        pack(split, SIZE, folder=tmp_path / "packs")


def test_nothing_is_packed_of_bad_images_alone(split, tmp_path, monkeypatch):
    monkeypatch.setattr(faults, "NAMED", 5)
    for file in split.files:
        file.write_bytes(b"")
    with pytest.raises(BadInput, match="9 of 9 images cannot be read: .* and 4 more"):
        pack(split, SIZE, folder=tmp_path / "packs", skip_bad=True)


def test_what_a_killed_process_left_is_cleared(split, tmp_path):
    examples = pack(split, SIZE, folder=tmp_path / "packs")
    (whole,) = packs(tmp_path / "packs")
    (whole / "pack.json").unlink()
    left = whole.with_name(f".{whole.name}.99999.tmp")
    left.mkdir()
    assert pack(split, SIZE, folder=tmp_path / "packs").fingerprint == examples.fingerprint
    assert not left.exists()


def test_a_damaged_pack_is_refused(split, tmp_path):
    pack(split, SIZE, folder=tmp_path / "packs")
    (whole,) = packs(tmp_path / "packs")
    with open(whole / "images.u8", "ab") as images:
        images.truncate(100)
    with pytest.raises(BadInput, match="is not 1,296 bytes"):
        PackedExamples(whole)


def test_a_place_that_cannot_be_written_is_one_line(split, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="Images cannot be kept in .*: Not a directory. Make room there, or"):
        pack(split, SIZE, folder=tmp_path / "file" / "packs")


def test_two_processes_can_pack_at_once(split, tmp_path):
    program = (
        "import sys, numpy as np; from pathlib import Path;"
        "from tfmo_drive.data.image_cache import pack; from tfmo_drive.data.splitting import Split;"
        "files = tuple(Path(f) for f in sys.argv[2:]);"
        "print(pack(Split(files, np.arange(9) % 3, np.arange(9) // 2), (6, 8), folder=Path(sys.argv[1])).fingerprint)"
    )
    command = [sys.executable, "-c", program, tmp_path / "packs", *split.files]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    prints = {process.communicate(timeout=60)[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert prints == {pack(split, SIZE, folder=tmp_path / "packs").fingerprint + "\n"}
    assert len(packs(tmp_path / "packs")) == 1


def test_generated_examples_are_made_once(tmp_path):
    drawn = []

    def generate(index):
        drawn.append(index)
        return np.full((4, 5, 3), index, np.uint8), index % 2

    for _ in range(2):
        examples = pack_generated(generate, 6, {"seed": 0}, tmp_path / "packs")
    assert drawn == list(range(6))
    pixels, labels = examples.read(np.array([5, 1]))
    assert pixels[:, 0, 0, 0].tolist() == [5, 1] and labels.tolist() == [1, 1] and labels.dtype == np.int64
    assert examples.groups.tolist() == list(range(6))
    pack_generated(generate, 6, {"seed": 1}, tmp_path / "packs")
    assert len(drawn) == 12


def test_an_interrupted_generation_leaves_nothing(tmp_path):
    def generate(index):
        if index == 3:
            raise KeyboardInterrupt
        return np.zeros((4, 4, 3), np.uint8), 0

    with pytest.raises(KeyboardInterrupt):
        pack_generated(generate, 6, "x", tmp_path / "packs")
    assert not packs(tmp_path / "packs")


def test_reading_does_not_grow_with_the_pack(tmp_path):
    program = (
        "import resource, sys, numpy as np; from pathlib import Path;"
        "from tfmo_drive.data.image_cache import pack_generated;"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024;"
        "image = np.zeros((512, 512, 3), np.uint8);"
        "before = peak();"
        "examples = pack_generated(lambda i: (image, 0), 300, 'x', Path(sys.argv[1]));"
        "all(len(examples.read(np.arange(i, i + 4))) for i in range(0, 296, 4));"
        "print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 40  # MB, of a pack of 236 MB


def test_the_cache_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.setenv("TFMO_DRIVE_CACHE", str(tmp_path))
    assert cache_root() == tmp_path
    pack_generated(lambda index: (np.zeros((2, 2, 3), np.uint8), 0), 2, "x")
    (made,) = packs(tmp_path / "packed")
    assert json.loads((made / "pack.json").read_text())["count"] == 2


def test_a_stream_is_read_once_and_named_after_its_content(tmp_path):
    rows = np.random.default_rng(0).normal(size=(5, 3, 2)).astype(np.float32)
    read = []

    def stream():
        for index, row in enumerate(rows):
            read.append(index)
            yield Example(row, index % 2)

    first, again = (pack_stream(stream(), "float32", "rows", tmp_path) for _ in range(2))
    assert read == [*range(5)] * 2 and first.fingerprint == again.fingerprint
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [first.fingerprint[:20]]
    inputs, labels = again.read(np.array([4, 0]))
    np.testing.assert_array_equal(inputs, rows[[4, 0]])
    assert inputs.dtype == np.float32 and labels.tolist() == [0, 0]


def test_a_stream_that_breaks_leaves_nothing(tmp_path):
    def stream():
        yield Example(np.zeros((2, 2, 3), np.uint8))
        raise RuntimeError("the camera is gone")

    with pytest.raises(RuntimeError, match="camera"):
        pack_stream(stream(), "uint8", "images", tmp_path)
    assert not packs(tmp_path)
