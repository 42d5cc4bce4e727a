"""What rides along in a pack: masks, numbers, several targets by name, and attributes."""

import json

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.image_cache import Example, PackedExamples, pack, pack_generated
from tfmo_drive.data.images import Resize, decode
from tfmo_drive.data.mask_files import IGNORE, MaskIds, MaskSplit, read_mask
from tfmo_drive.data.splitting import Split

SIZE = (6, 8)


@pytest.fixture
def split(tmp_path):
    """Nine images of several sizes with masks of 3 classes and id 3, ignored."""
    generator = np.random.default_rng(0)
    for index in range(9):
        shape = (10 + index, 12)
        Image.fromarray(generator.integers(0, 256, (*shape, 3), np.uint8)).save(tmp_path / f"{index}.png")
        Image.fromarray(generator.integers(0, 4, shape, np.uint8)).save(tmp_path / f"{index}_mask.png")
    files, masks = (tuple(tmp_path / f"{index}{end}.png" for index in range(9)) for end in ("", "_mask"))
    weather = np.array(["rain", "clear", "fog"] * 3)
    groups = np.arange(9) // 2
    return MaskSplit(files, np.zeros(9, np.int64), groups, masks, MaskIds(4, (3,)), attributes={"weather": weather})


def test_masks_come_with_their_pixels(split, tmp_path):
    examples = pack(split, SIZE, Resize(fit="letterbox"), tmp_path / "packs")
    order = np.array([8, 0, 3, 3, -1])
    pixels, masks = examples.read(order)
    assert pixels.shape == (5, *SIZE, 3) and masks.shape == (5, *SIZE) and masks.dtype == np.uint8
    assert pixels.flags.c_contiguous and masks.flags.c_contiguous
    for image, mask, index in zip(pixels, masks, order, strict=True):
        resize = Resize(fit="letterbox")
        assert np.array_equal(image, decode(split.files[index], SIZE, resize))
        assert np.array_equal(mask, read_mask(split.masks[index], split.files[index], split.ids, SIZE, resize))
    assert set(np.unique(masks).tolist()) == {0, 1, 2, IGNORE}
    assert np.array_equal(examples.groups, split.groups)


def test_attributes_come_back(split, tmp_path):
    examples = pack(split, SIZE, folder=tmp_path / "packs")
    assert examples.attributes["weather"].tolist() == ["rain", "clear", "fog"] * 3
    plain = pack(Split(split.files, split.labels, split.groups), SIZE, folder=tmp_path / "packs")
    assert plain.attributes == {}


def test_another_mask_other_ids_and_other_attributes_are_another_pack(split, tmp_path):
    first = pack(split, SIZE, folder=tmp_path / "packs").fingerprint
    parts = split.files, split.labels, split.groups
    variants = [
        MaskSplit(*parts, split.masks, MaskIds(4), attributes=split.attributes),
        MaskSplit(*parts, split.masks, split.ids, attributes={"weather": np.array(["dry"] * 9)}),
        MaskSplit(*parts, split.masks, split.ids),
    ]
    prints = [pack(variant, SIZE, folder=tmp_path / "packs").fingerprint for variant in variants]
    Image.fromarray(np.zeros((10, 12), np.uint8)).save(split.masks[0])
    prints.append(pack(split, SIZE, folder=tmp_path / "packs").fingerprint)
    assert len({first, *prints}) == 5


def test_bad_masks_are_named_with_the_reason_and_skipped_when_asked(split, tmp_path):
    Image.new("RGB", (12, 11), "lime").save(split.masks[1])
    Image.new("L", (12, 11), 7).save(split.masks[2])
    Image.new("L", (12, 13), 7).save(split.masks[3])
    split.files[5].write_bytes(b"no image")
    with pytest.raises(BadInput) as caught:
        pack(split, SIZE, folder=tmp_path / "packs")
    text = str(caught.value)
    assert text.startswith("4 of 9 images or their masks cannot be used: ") and "\n" not in text
    for reason in (
        "1_mask.png (colours instead of class ids)", "2_mask.png (12 x 11, but its image is 12 x 12)",
        "3_mask.png (id 7, but there are 4 ids)", "5.png (not an image",
        "A mask is a grey or palette PNG of class ids", "--set=task.skip_bad=True",
    ):  # fmt: skip
        assert reason in text
    examples = pack(split, SIZE, folder=tmp_path / "packs", skip_bad=True)
    assert len(examples) == 5 and examples.attributes["weather"].tolist() == ["rain", "clear", "rain", "clear", "fog"]
    pixels, masks = examples.read(np.array([1]))
    assert np.array_equal(pixels[0], decode(split.files[4], SIZE))
    assert np.array_equal(masks[0], read_mask(split.masks[4], split.files[4], split.ids, SIZE, Resize()))


def test_a_pack_without_the_newer_facts_is_read_as_before(split, tmp_path):
    plain = Split(split.files, np.arange(9) % 3, split.groups)
    examples = pack(plain, SIZE, folder=tmp_path / "packs")
    (folder,) = (path for path in (tmp_path / "packs").iterdir() if path.is_dir())
    facts = json.loads((folder / "pack.json").read_text())
    del facts["masked"]
    (folder / "pack.json").write_text(json.dumps(facts))
    old = PackedExamples(folder)
    for ours, theirs in zip(old.read(np.arange(9)), examples.read(np.arange(9)), strict=True):
        assert np.array_equal(ours, theirs)
    assert old.attributes == {} and not old.masked


def test_numbers_are_float32_rows(split, tmp_path):
    steering = np.linspace(-1, 1, 9, dtype=np.float32)[:, None]
    examples = pack(Split(split.files, steering, split.groups), SIZE, folder=tmp_path / "packs")
    labels = examples.read(np.array([8, 0]))[1]
    assert labels.dtype == np.float32 and labels.tolist() == [[1.0], [-1.0]]


def drawn(index, **changes):
    example = {
        "pixels": np.full((*SIZE, 3), index, np.uint8),
        "label": {"steering": np.float32([index / 10]), "boxes": np.full((2, 4), index, np.float32)},
        "mask": np.full(SIZE, index + 100, np.uint8),
        "attributes": {"weather": "rain" if index % 2 else "clear", "time_of_day": "night"},
        "group": index // 3,
    }
    return Example(**example | changes)


def test_generated_examples_have_masks_targets_by_name_attributes_and_groups(tmp_path):
    examples = pack_generated(drawn, 6, "x", tmp_path)
    pixels, targets = examples.read(np.array([5, 1]))
    assert pixels[:, 0, 0, 0].tolist() == [5, 1]
    assert list(targets) == ["steering", "boxes", "mask"]
    assert (
        targets["steering"].dtype == np.float32 and targets["steering"].tolist() == np.float32([[0.5], [0.1]]).tolist()
    )
    assert targets["boxes"].shape == (2, 2, 4) and (targets["mask"] == np.array([105, 101])[:, None, None]).all()
    assert examples.attributes["weather"].tolist() == ["clear", "rain"] * 3
    assert examples.attributes["time_of_day"].tolist() == ["night"] * 6
    assert examples.groups.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_generated_mask_alone_is_the_target(tmp_path):
    examples = pack_generated(lambda index: drawn(index, label=0, group=None)[:3], 6, "x", tmp_path)
    assert (examples.read(np.array([4]))[1] == 104).all() and examples.groups.tolist() == list(range(6))


def test_masks_of_some_examples_alone_or_of_another_shape_are_refused(tmp_path):
    for number, wrong in enumerate((None, np.zeros((3, 3), np.uint8), np.zeros(SIZE, np.int64))):
        with pytest.raises(ValueError, match="expected uint8"):
            pack_generated(lambda i, wrong=wrong: drawn(i, mask=wrong) if i else drawn(i), 3, number, tmp_path)
    with pytest.raises(ValueError, match="expected no mask"):
        pack_generated(lambda i: drawn(i) if i else drawn(i, mask=None), 3, "y", tmp_path)
