"""Damaged layouts of masks and lanes: an image keeps its own mask, whatever befalls files, or a slip is named."""

import json

import numpy as np
from damage import damaged_bytes, mostly_damaged, pick
from PIL import Image

from tfmo_drive.data.images import Resize
from tfmo_drive.data.lanes import drawn
from tfmo_drive.data.layouts.masks import kitti_masks
from tfmo_drive.data.layouts.masks.cityscapes_masks import IDS
from tfmo_drive.data.layouts.masks.mask_listing import list_masks
from tfmo_drive.data.mask_files import read_mask
from tfmo_drive.data.splitting import SPLITS

SIZE, COUNT = (12, 18), 12
ROADS = np.array([*kitti_masks.ROAD.values()], np.uint8)
COLOURS = np.array([(128, 64, 128), (220, 20, 60), (0, 0, 142)], np.uint8)


def _saved(path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def _pair(case, image: str, mask: str, values) -> np.ndarray:
    """Writes an image and its mask of three classes; what they are."""
    ids = case.random.integers(0, 3, SIZE).astype(np.uint8)
    _saved(case.folder / image, np.zeros((*SIZE, 3), np.uint8))
    _saved(case.folder / mask, values[ids])
    return ids


def _cityscapes(case) -> dict[str, np.ndarray]:
    kind, values = pick(case.random, (("labelIds", np.array(IDS, np.uint8)), ("labelTrainIds", np.arange(19))))
    names = [(pick(case.random, ("train", "train", "val")), f"ulm_{n:06}_000019") for n in range(COUNT)]
    return {f"{name}_leftImg8bit": _pair(case, f"leftImg8bit/{split}/ulm/{name}_leftImg8bit.png",
                                         f"gtFine/{split}/ulm/{name}_gtFine_{kind}.png", values.astype(np.uint8))
            for split, name in names}  # fmt: skip


def _bdd100k(case) -> dict[str, np.ndarray]:
    image, mask = pick(case.random, (("images/100k", "labels/drivable/masks/{0}.png"),
                                     ("seg/images", "seg/labels/{0}_train_id.png")))  # fmt: skip
    names = [f"{pick(case.random, ('train', 'val'))}/{n:08x}-6257be58" for n in range(COUNT)]
    return {name[-17:]: _pair(case, f"{image}/{name}.png", mask.format(name), np.arange(3, dtype=np.uint8))
            for name in names}  # fmt: skip


def _kitti(case) -> dict[str, np.ndarray]:
    road = case.random.random() < 0.5
    image, mask = ("um_{:06}", "gt_image_2/um_road_{:06}") if road else ("{:06}_10", "semantic/{:06}_10")
    values = ROADS if road else np.array(IDS, np.uint8)
    pairs = {image.format(n): _pair(case, f"training/image_2/{image.format(n)}.png", f"training/{mask.format(n)}.png",
                                    values) for n in range(COUNT)}  # fmt: skip
    return {name: ids - np.uint8(road) for name, ids in pairs.items()}  # the road's first class is void: 255


def _voc(case) -> dict[str, np.ndarray]:
    names = [f"frame_{n:04}" for n in range(COUNT)]
    lists = case.folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split, part in (("train", names[:8]), ("val", names[8:10]), ("test", names[10:])):
        _write(case, lists / f"{split}.txt", "".join(f"{name}\n" for name in part))
    return {name: _pair(case, f"JPEGImages/{name}.png", f"SegmentationClass/{name}.png", np.arange(3, dtype=np.uint8))
            for name in names}  # fmt: skip


def _coloured(case) -> dict[str, np.ndarray]:
    file, form = pick(case.random, (("label_colors.txt", "{1} {2} {3}\t{0}"), ("labelmap.txt", "{0}:{1},{2},{3}::")))
    rows = [form.format(name, *colour) for name, colour in zip(("sky", "road", "car"), COLOURS.tolist(), strict=True)]
    _write(case, case.folder / file, "\n".join(rows) + "\n")
    changed = (case.folder / file).read_text("utf-8", "replace") != "\n".join(rows) + "\n"
    pairs = {f"{n:04}": _pair(case, f"images/{n:04}.png", f"masks/{n:04}_L.png", COLOURS) for n in range(COUNT)}
    return {} if changed else pairs


def _lanes(case) -> list[list[list[int]]]:
    """The lanes of an image: x and y, x and y, ..."""
    random = case.random
    return [[[int(x), 2 * y] for y, x in enumerate(random.integers(0, 18, 6))] for _ in range(random.integers(1, 4))]


def _tusimple(case) -> dict[str, np.ndarray]:
    expected, lines = {}, []
    for number in range(COUNT):
        name, lanes = f"clips/0601/{number:04}/{number}.png", _lanes(case)
        _saved(case.folder / name, np.zeros((*SIZE, 3), np.uint8))
        rows = {
            "raw_file": name,
            "h_samples": [2 * y for y in range(6)],
            "lanes": [[x for x, _ in lane] for lane in lanes],
        }
        lines.append(json.dumps(rows))
        expected[str(number)] = drawn([np.array(lane, np.float32) for lane in lanes], SIZE)
    _write(case, case.folder / "label_data_0601.json", "\n".join(lines) + "\n")
    whole = (case.folder / "label_data_0601.json").read_bytes().decode("utf-8", "replace").split("\n")
    return {name: mask for (name, mask), line in zip(expected.items(), lines, strict=True) if whole.count(line) == 1}


def _culane(case) -> dict[str, np.ndarray]:
    expected = {}
    for number in range(COUNT):
        lanes, path = _lanes(case), case.folder / "driver_1_30frame" / "1.MP4" / f"{number:05}.png"
        _saved(path, np.zeros((*SIZE, 3), np.uint8))
        text = "".join(" ".join(f"{x} {y}" for x, y in lane) + " \n" for lane in lanes)
        path.with_suffix(".lines.txt").write_text(text)
        expected[path.stem] = drawn([np.array(lane, np.float32) for lane in lanes], SIZE)
        if case.random.random() < 0.05:
            path.with_suffix(".lines.txt").write_bytes(mostly_damaged(case.random, text, most=1))
            expected.pop(path.stem)
    if case.random.random() < 0.5:
        (case.folder / "list").mkdir()
        names = [f"/driver_1_30frame/1.MP4/{number:05}.png" for number in range(COUNT)]
        _write(case, case.folder / "list" / "train_gt.txt", "".join(f"{name} /mask.png 1 1 0 0\n" for name in names))
    return expected


def _write(case, path, text: str) -> None:
    """Writes a text, sometimes damaged."""
    path.write_bytes(mostly_damaged(case.random, text, most=1) if case.random.random() < 0.5 else text.encode())


def _accident(case, expected: dict[str, np.ndarray]) -> None:
    """Removes, renames, damages or doubles a file, or puts a folder in its place."""
    random = case.random
    path = pick(random, sorted(path for path in case.folder.rglob("*") if path.is_file()))
    kind = int(random.integers(5))
    if kind == 0:
        path.unlink()
    elif kind == 1:
        path.rename(path.with_name(f"{path.stem}_{path.suffix}"))
    elif kind == 2 and path.suffix == ".png":
        path.write_bytes(damaged_bytes(random, path.read_bytes()))
        expected.clear()  # whichever it is, its mask may now be another
    elif kind == 3:
        path.with_suffix(".jpg").write_bytes(path.read_bytes())
    elif kind == 4:
        path.unlink()
        path.mkdir()


def test_damaged_layouts_are_read_right_or_refused(fuzz):
    def attempt(case):
        write = pick(case.random, (_cityscapes, _bdd100k, _kitti, _voc, _coloured, _tusimple, _culane))
        expected = write(case)
        skips = bool(case.random.integers(2))
        for _ in range(int(case.random.integers(3))):
            _accident(case, expected)
        listing = case.read(case.folder, lambda: list_masks(case.folder, skip_bad=skips))
        if listing is None:
            return
        seen = set()
        for split in SPLITS:
            part = listing[split]
            for file, mask in zip(part.files, part.masks, strict=True):
                assert file not in seen
                seen.add(file)
                named = getattr(mask, "file", mask)
                found = case.read(case.folder, lambda: read_mask(mask, file, part.ids, SIZE, Resize()))  # noqa: B023
                if found is None:
                    continue
                assert found.shape == SIZE and named.exists()
                known = expected.get(file.stem)
                if known is not None:
                    assert np.array_equal(found, known), f"{file} has another mask"

    fuzz(attempt, cases=60)
