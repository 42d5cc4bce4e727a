"""Damaged folders of masks: every pair is listed once, every pixel has the id or the colour that its file holds."""

import numpy as np
from damage import damaged_bytes, damaged_text, pick
from PIL import Image

from tfmo_drive.data.images import Resize
from tfmo_drive.data.layouts.masks.mask_listing import list_masks
from tfmo_drive.data.mask_files import IGNORE, read_mask
from tfmo_drive.data.splitting import SPLITS

NAMES = ("sky", "road", "car")
COLOURS = np.array([(128, 64, 128), (220, 20, 60), (0, 0, 142)], np.uint8)
SIZE, COUNT = (6, 9), 12


def _mask(ids: np.ndarray, kind: str, palette: np.ndarray) -> Image.Image:
    if kind == "colours":
        return Image.fromarray(COLOURS[ids])
    image = Image.fromarray(ids.astype(np.uint8))
    if kind == "palette":
        image = Image.frombytes("P", image.size, image.tobytes())
        image.putpalette(palette.ravel().tolist())
    return image


def _written(case, kind: str) -> dict[str, np.ndarray]:
    """{stem: ids} of a data set with some accidents; the masks that were damaged are not in it."""
    random, expected = case.random, {}
    for folder in ("images", "masks"):
        (case.folder / folder).mkdir()
    for number in range(COUNT):
        stem, ids = f"drive_{number:04}", random.integers(0, 3, SIZE)
        Image.new("RGB", SIZE[::-1]).save(case.folder / "images" / f"{stem}.png")
        _mask(ids, kind, COLOURS).save(case.folder / "masks" / f"{stem}.png")
        expected[stem] = ids
    for _ in range(int(random.integers(0, 3))):
        stem = f"drive_{random.integers(COUNT):04}"
        mask, image = (case.folder / folder / f"{stem}.png" for folder in ("masks", "images"))
        expected.pop(stem, None)
        slip = int(random.integers(8))
        if slip == 0:
            mask.unlink(missing_ok=True)
        elif slip == 1:
            image.unlink(missing_ok=True)
        elif slip == 2 and mask.exists():
            mask.write_bytes(damaged_bytes(random, mask.read_bytes()))
        elif slip == 3:
            _mask(random.integers(0, 3, SIZE), "palette", random.permuted(COLOURS, axis=0)).save(mask)
        elif slip == 4:
            _mask(random.integers(0, 3, pick(random, (SIZE, SIZE[::-1], (1, 1)))), kind, COLOURS).save(mask)
        elif slip == 5:
            image.rename(mask) if image.exists() else None
        elif slip == 6:
            Image.fromarray(random.integers(0, 256, SIZE).astype(pick(random, (np.uint8, np.uint16)))).save(mask)
        else:
            mask.with_suffix(".jpg").write_bytes(b"")
    return expected


def _assert_one_palette(masks: list) -> None:
    meant = {}
    for mask in masks:
        try:
            with Image.open(mask) as image:
                palette, ids = image.getpalette(), np.unique(np.asarray(image)) if image.mode == "P" else ()
        except Exception:  # Pillow's own, of what is damaged
            continue
        for number in ids:
            colour = tuple(palette[3 * number : 3 * number + 3])
            assert meant.setdefault(int(number), colour) == colour


def test_damaged_masks_are_read_right_or_refused(fuzz):
    def attempt(case):
        kind = pick(case.random, ("grey", "palette", "colours"))
        expected = _written(case, kind)
        table = case.folder / ("class_dict.csv" if kind == "colours" else "classes.txt")
        rows = [f"{name},{','.join(map(str, colour))}" for name, colour in zip(NAMES, COLOURS.tolist(), strict=True)]
        text = "\n".join(["name,r,g,b", *rows] if kind == "colours" else NAMES)
        if changed := case.random.random() < 0.2:
            text = damaged_text(case.random, text, most=1)
        table.write_bytes(text.encode("utf-8", "surrogatepass"))
        listing = case.read(case.folder, lambda: list_masks(case.folder))
        if listing is None:
            return
        listed = [pair for split in SPLITS for pair in zip(listing[split].files, listing[split].masks, strict=True)]
        stems = sorted(path.stem for path in (case.folder / "masks").glob("*.png"))
        assert sorted(file.stem for file, _ in listed) == stems
        assert all(file.stem == mask.stem for file, mask in listed)
        if kind != "colours":
            _assert_one_palette([mask for _, mask in listed])
        for file, mask in listed:
            found = case.read(mask, lambda: read_mask(mask, file, listing["train"].ids, SIZE, Resize()))  # noqa: B023
            if found is None:
                continue
            assert found.shape == SIZE and set(np.unique(found)) <= {*range(len(listing.class_names)), IGNORE}
            if mask.stem in expected and not changed:
                assert np.array_equal(found, expected[mask.stem])

    fuzz(attempt, cases=60)
