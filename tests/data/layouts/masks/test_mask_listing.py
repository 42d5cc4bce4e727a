import numpy as np
import pytest
from PIL import Image

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.image_cache import pack
from tfmo_drive.data.images import Resize
from tfmo_drive.data.layouts.masks import colours
from tfmo_drive.data.layouts.masks.mask_listing import list_masks
from tfmo_drive.data.mask_files import IGNORE, MaskIds, read_mask
from tfmo_drive.data.splitting import SPLITS
from tfmo_drive.tasks.segmentation.segmentation_score import overlaps

NAMES = ("sky", "road", "car")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "streets"


def frames(folder, count, suffix=".jpg", drive="drive"):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{drive}_{number:04}{suffix}").write_bytes(b"")


def pairs(images, masks, count, drive="drive"):
    frames(images, count, ".jpg", drive)
    frames(masks, count, ".png", drive)


LAYOUTS = {
    "camvid": ("{0}", "{0}annot"),
    "camvid with bars": ("{0}", "{0}_labels"),
    "split within kind": ("images/{0}", "masks/{0}"),
    "kind within split": ("{0}/images", "{0}/Masks"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pairs_are_found_by_their_stems(root, layout):
    for split, count in (("train", 5), ("valid", 3), ("test", 4)):
        pairs(*(root / part.format(split) for part in LAYOUTS[layout]), count)
    listing = list_masks(root, NAMES)
    assert [len(listing[split]) for split in SPLITS] == [5, 3, 4] and listing.class_names == NAMES
    for split in SPLITS:
        part = listing[split]
        assert [file.stem for file in part.files] == [mask.stem for mask in part.masks]
        assert {file.suffix for file in part.files} == {".jpg"} and {mask.suffix for mask in part.masks} == {".png"}
    groups = [set(listing[split].groups.tolist()) for split in SPLITS]
    assert len(set.union(*groups)) == sum(map(len, groups))


def test_one_folder_of_frames_is_split_in_whole_blocks(root):
    pairs(root / "images", root / "masks", 200)
    listing = list_masks(root, NAMES, seed=3)
    assert sum(len(listing[split]) for split in SPLITS) == 200
    for split in SPLITS:
        numbers = np.array([int(file.stem[-4:]) for file in listing[split].files])
        for group in np.unique(listing[split].groups):
            assert (np.diff(numbers[listing[split].groups == group]) == 1).all()
    assert len(np.unique(listing["val"].groups)) == len(np.unique(listing["test"].groups)) == 3  # of 20 blocks
    assert list_masks(root, NAMES, seed=3)["val"].files == listing["val"].files
    assert list_masks(root, NAMES, seed=4)["val"].files != listing["val"].files


def test_val_is_test_where_there_is_none(root):
    for split, count in (("train", 60), ("val", 10)):
        pairs(root / split, root / f"{split}annot", count)
    listing = list_masks(root, NAMES)
    assert {file.parent.name for file in listing["test"].files} == {"val"} and len(listing["test"]) == 10
    assert {file.parent.name for file in listing["val"].files} == {"train"}
    assert not set(listing["val"].files) & set(listing["train"].files)


def test_recordings_in_folders_of_their_own_are_told_apart(root):
    for drive in ("a", "b"):
        pairs(root / "images" / drive, root / "masks" / drive, 30)
    listing = list_masks(root, NAMES)
    for split in SPLITS:
        drives = np.array([file.parent.name for file in listing[split].files])
        assert all(len(set(drives[listing[split].groups == g])) == 1 for g in listing[split].groups)


def test_ten_recordings_told_by_their_names_stay_whole_where_splits_are_drawn(root):
    """IDD's names end in leftImg8bit, whose 8 counts no frames."""
    for drive in range(12):
        for number in range(0, 90, 30):
            name = f"{drive + 200}_frame{number:04}_leftImg8bit"
            frames(root / "images", 0)
            frames(root / "masks", 0)
            (root / "images" / f"{name}.jpg").write_bytes(b"")
            (root / "masks" / f"{name}.png").write_bytes(b"")
    listing = list_masks(root, NAMES)
    drives = [{file.name[:3] for file in listing[split].files} for split in SPLITS]
    assert sum(map(len, drives)) == len(set.union(*drives)) == 12 and [len(one) for one in drives] == [8, 2, 2]


def test_names_beside_the_data_say_what_is_ignored(root):
    pairs(root / "images", root / "masks", 40)
    (root / "classes.json").write_text('["sky", "Void", "road", "car"]')
    listing = list_masks(root)
    assert listing.class_names == ("sky", "road", "car") and listing["train"].ids == MaskIds(4, (1,))
    assert list_masks(root, ignore=3).class_names == ("sky", "road")
    assert list_masks(root, ("a", "b"), ignore=200)["val"].ids == MaskIds(2, (200,))


def test_what_is_no_pair_is_counted_and_left_out_only_when_asked(root):
    pairs(root / "images", root / "masks", 40)
    (root / "images" / "drive_0003.jpg").unlink()
    (root / "masks" / "drive_0007.png").unlink()
    with pytest.raises(BadInput) as caught:
        list_masks(root, NAMES)
    text = str(caught.value)
    assert "2 of 40 images and masks are no pairs: " in text and "\n" not in text
    assert "drive_0007.jpg has no mask" in text and "drive_0003.png has no image" in text
    assert sum(len(part) for part in list_masks(root, NAMES, skip_bad=True).splits.values()) == 38


def test_images_without_masks_are_a_split_left_out(root, caplog):
    pairs(root / "train", root / "trainannot", 60)
    frames(root / "test", 9)
    assert {file.parent.name for file in list_masks(root, NAMES)["test"].files} == {"train"}
    assert "there are no masks for test; it is left out" in caplog.text


@pytest.mark.parametrize("layout", LAYOUTS)
def test_folders_that_are_no_split_are_said(root, layout, caplog):
    for split in ("train", "val", "test", "extra"):
        pairs(*(root / part.format(split) for part in LAYOUTS[layout]), 5)
    assert sum(len(part) for part in list_masks(root, NAMES).splits.values()) == 15
    assert 'not read: "extra' in caplog.text and caplog.text.count("not read") == 1


def test_folders_that_hold_no_pairs_are_refused(root):
    with pytest.raises(BadInput, match="There is no folder .*streets. Expected train/ "):
        list_masks(root, NAMES)
    pairs(root / "val", root / "valannot", 2)
    with pytest.raises(BadInput, match="no images for val, out of 2"):
        list_masks(root, NAMES)
    (root / "train").mkdir()
    (root / "trainannot").mkdir()
    with pytest.raises(BadInput, match="No images under .*train. Expected"):
        list_masks(root, NAMES)
    pairs(root / "train", root / "trainannot", 60)
    pairs(root / "valid", root / "validannot", 4)
    with pytest.raises(BadInput, match="holds one split twice"):
        list_masks(root, NAMES)


def test_two_images_of_one_stem_are_refused(root):
    pairs(root / "images", root / "masks", 40)
    (root / "images" / "drive_0001.png").write_bytes(b"")
    with pytest.raises(BadInput, match="drive_0001.jpg and drive_0001.png have one stem"):
        list_masks(root, NAMES)


def test_masks_need_names(root):
    pairs(root / "images", root / "masks", 40)
    for mask, held in ((np.uint8([[0, 7, 255]]), "ids from 0 to 7"), (np.full((1, 3), 300, np.uint16), "ids .* 300"),
                       (np.uint8([[[1, 2, 3], [4, 4, 4]]]), r"2 colours, such as \(4, 4, 4\)")):  # fmt: skip
        Image.fromarray(mask).save(root / "masks" / "drive_0000.png")
        with pytest.raises(BadInput, match=f"looked at hold {held}. Put the names of their ids into classes.txt there"):
            list_masks(root)
    with pytest.raises(BadInput, match="got 1"):
        list_masks(root, ("road", "void"))


@pytest.mark.parametrize("names", [(), ("road", "lane")])
@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_black_and_white_masks_are_two_classes(root, mode, names, caplog):
    """White is 255, which elsewhere means that nothing is known: every pixel of the object would be ignored."""
    pairs(root / "images", root / "masks", 40)
    for number, path in enumerate(sorted((root / "masks").iterdir())):
        Image.fromarray(np.eye(4, 6, number % 5, dtype=np.uint8) * 255).convert(mode).save(path)
        Image.new("RGB", (6, 4)).save(root / "images" / f"{path.stem}.jpg")
    listing = list_masks(root, names)
    assert listing.class_names == (names or ("background", "foreground")) and "black and white" in caplog.text
    part = listing["train"]
    for file, mask in zip(part.files, part.masks, strict=True):
        expected = np.eye(4, 6, int(mask.stem[-4:]) % 5, dtype=np.uint8)
        assert (read_mask(mask, file, part.ids, (4, 6), Resize()) == expected).all()


def test_lists_beside_the_folders_are_the_splits(root):
    pairs(root / "images", root / "masks", 40)
    (root / "valid.txt").write_text("".join(f"/x/drive_{number:04}.jpg y.png\n" for number in range(6)))
    listing = list_masks(root, NAMES)
    assert {file.stem for file in listing["test"].files} == {f"drive_{number:04}" for number in range(6)}
    (root / "train.txt").write_text("drive_0005\n")
    with pytest.raises(BadInput, match="drive_0005 is in train and in val"):
        list_masks(root, NAMES)


def coloured(root, palettes=(), ids=((0, 1), (2, 1))):
    """Masks of 2 x 2 ids with a palette each; their images are empty."""
    pairs(root / "images", root / "masks", max(30, len(palettes)))
    for number, palette in enumerate(palettes):
        mask = Image.fromarray(np.array(ids, np.uint8)).convert("P")
        mask.putdata(np.ravel(ids).tolist())
        mask.putpalette(np.ravel(palette).tolist())
        mask.save(root / "masks" / f"drive_{number:04}.png")
    return root


PALETTE = [(128, 64, 128), (220, 20, 60), (0, 0, 142)]


@pytest.mark.parametrize("names", [None, NAMES])  # which would not help
def test_an_id_that_is_another_colour_in_another_file_is_no_class(root, names):
    coloured(root, [PALETTE, PALETTE, PALETTE[::-1]])
    with pytest.raises(BadInput, match=r"drive_0002.png: id 0 is the colour \(0, 0, 142\), and \(128, 64, 128\) in"
                                       r" .*drive_0000.png.* in .*class_dict.csv \(name,r,g,b\)"):  # fmt: skip
        list_masks(root, names)


def test_of_many_masks_some_are_looked_at_and_the_others_compared_when_they_are_read(root, monkeypatch, tmp_path):
    """Whole folders are opened once, to be decoded."""
    monkeypatch.setattr(colours, "LOOKED_AT", 2)
    coloured(root, [PALETTE, [*PALETTE[:2], (7, 7, 7)], *[PALETTE] * 26, PALETTE[::-1], PALETTE])
    for path in (root / "images").iterdir():
        Image.new("RGB", (2, 2)).save(path)
    listing = list_masks(root, NAMES)
    odd = [part for part in listing.splits.values() if {"drive_0001", "drive_0028"} & {f.stem for f in part.files}]
    assert odd
    for part in odd:
        with pytest.raises(BadInput, match=r"id [02] is the colour \((0|7), .* in others, so it is no class"):
            pack(part, (2, 2), folder=tmp_path)


def test_palettes_may_differ_in_length_and_in_what_no_pixel_uses(root):
    coloured(root, [PALETTE, [*PALETTE, (9, 9, 9)], [*PALETTE, (7, 7, 7), (1, 1, 1)]])
    assert sum(len(part) for part in list_masks(root, NAMES).splits.values()) == 30


def test_a_file_of_colours_names_the_classes(root):
    coloured(root, [PALETTE, PALETTE[::-1]])
    table = root / "class_dict.csv"
    table.write_text("name,r,g,b\nsky,128,64,128\nVoid,220,20,60\ncar,0,0,142\n")
    listing = list_masks(root)
    assert listing.class_names == ("sky", "car") and listing["train"].ids == MaskIds(3, (1,), tuple(PALETTE))
    assert list_masks(root, ("car", "sky", "Void"))["train"].ids.colours[0] == (0, 0, 142)
    with pytest.raises(BadInput, match='must give each class its colour, and no others; they differ in "Void", "bus"'):
        list_masks(root, ("car", "sky", "bus"))
    for line, said in (("car,0,0,256", "line 4: red, green and blue must be 0..255"), ("sky,1,2,3", '"sky" more than'),
                       ("car,128,64,128", "line 4: the colour .* is that of a class before"), (",1,2,3", "empty"),
                       ("car,1.5,2,3", "line 4: red"), ("car,-1,2,3", "line 4: red"),
                       ("a,1,2", "line 4: 4 columns")):  # fmt: skip
        table.write_text(f"name,r,g,b\nsky,128,64,128\nVoid,220,20,60\n{line}\n")
        with pytest.raises(BadInput, match=said):
            list_masks(root)


@pytest.mark.real
def test_camvid_is_listed_packed_and_scored(shared, tmp_path):
    listing = list_masks(shared / "data/camvid")
    assert len(listing.class_names) == 11 and listing.class_names[-1] == "bicyclist"
    assert [len(listing[split]) for split in SPLITS] == [316, 51, 101]
    assert len(np.unique(listing["test"].groups)) == 21
    examples = pack(listing["test"], (90, 120), folder=tmp_path)
    pixels, masks = examples.read(np.arange(101))
    assert set(np.unique(masks).tolist()) == {*range(11), IGNORE}
    assert 0.01 < (masks == IGNORE).mean() < 0.03  # 1.7 % of the files' pixels are unlabelled
    road = pixels[masks == 3].mean(axis=0)
    assert np.ptp(road) < 30 and (pixels[masks == 0].mean() > road.mean() + 50)  # grey road below a bright sky
    found = overlaps(masks[:, ::2, ::2] % IGNORE, masks, 11)
    score = found.scores(np.ones((1, 101)))[0]
    assert 0.7 < score < 0.9 and found.pixel_accuracy > 0.9  # what half the size costs thin poles
    draws = np.random.default_rng(0).multinomial(21, np.full(21, 1 / 21), 500)
    resampled = found.scores(draws[:, np.unique(examples.groups, return_inverse=True)[1]].astype(float))
    assert np.quantile(resampled, 0.025) < score < np.quantile(resampled, 0.975)
