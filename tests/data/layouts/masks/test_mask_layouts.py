"""One set of images and masks, written in every layout, gives equal masks, names and splits."""

import json

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.images import Resize
from tfmo_drive.data.lanes import LANES, drawn
from tfmo_drive.data.layouts.known_layouts import MASKS, layouts
from tfmo_drive.data.layouts.masks.bdd100k_masks import PLACES
from tfmo_drive.data.layouts.masks.cityscapes_masks import IDS
from tfmo_drive.data.layouts.masks.kitti_masks import ROAD
from tfmo_drive.data.layouts.masks.mask_listing import READERS, list_masks
from tfmo_drive.data.layouts.masks.pairs import STREET
from tfmo_drive.data.layouts.masks.voc_masks import NAMES as VOC
from tfmo_drive.data.mask_files import IGNORE, read_mask
from tfmo_drive.data.splitting import SPLITS

SIZE = (20, 30)
PARTS = {"train": 40, "val": 12, "test": 8}
CLASSES = 3
COLOURS = np.array([(128, 64, 128), (220, 20, 60), (0, 0, 142)], np.uint8)


def ids_of(split, number):
    """The classes of an image, uint8 [*SIZE]; its pixels say the same."""
    return np.random.default_rng([list(PARTS).index(split), number]).integers(0, CLASSES, SIZE).astype(np.uint8)


def image(path, ids):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.repeat(ids[..., None], 3, -1) * 60).save(path)


def mask(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def frames():
    return [(split, number, ids_of(split, number)) for split, count in PARTS.items() for number in range(count)]


def in_folders(image_at, mask_at, colours="", names="classes.txt"):
    def write(root):
        for split, number, ids in frames():
            image(root / image_at.format(split=split, n=number), ids)
            mask(root / mask_at.format(split=split, n=number), COLOURS[ids] if colours else ids)
        if colours:
            forms = {"class_dict.csv": "{0},{1},{2},{3}", "label_colors.txt": "{1} {2} {3}\t{0}",
                     "labelmap.txt": "{0}:{1},{2},{3}::"}  # fmt: skip
            rows = [forms[colours].format(n, *c) for n, c in zip(STREET[:CLASSES], COLOURS.tolist(), strict=True)]
            head = {"class_dict.csv": ["name,r,g,b"], "labelmap.txt": ["# label:color_rgb:parts:actions"]}
            (root / colours).write_text("\n".join([*head.get(colours, []), *rows]) + "\n")
        elif names == "train/_classes.csv":
            rows = [f"{number}, {name}" for number, name in enumerate(STREET[:CLASSES])]
            (root / names).write_text("Pixel Value, Class\n" + "\n".join(rows))
        else:
            (root / names).write_text("\n".join(STREET[:CLASSES]))

    return write


def cityscapes(kind, prefix=("leftImg8bit", "gtFine")):
    def write(root):
        for split, number, ids in frames():
            name = f"ulm_{number:06}_000019"
            image(root / prefix[0] / split / "ulm" / f"{name}_leftImg8bit.png", ids)
            folder = root / prefix[1] / split / "ulm"
            mask(folder / f"{name}_gtFine_{kind}.png", ids if "Train" in kind else np.array(IDS, np.uint8)[ids])
            mask(folder / f"{name}_gtFine_color.png", COLOURS[ids])

    return write


def bdd100k(place, home=""):
    folders, pattern, names = PLACES[place]

    def write(root):
        for split, number, ids in frames():
            stem = f"{split[:2]}{number:04x}f7c-6257be58"
            image(root / home / folders[0] / split / f"{stem}.jpg", ids)
            mask(root / home / place / split / f"{pattern.replace('(.+)', stem)}.png", ids)

    return write


def voc(home=""):
    def write(root):
        for split, number, ids in frames():
            name = f"{split}_{number:04}"
            image(root / home / "JPEGImages" / f"{name}.jpg", ids)
            palette = Image.frombytes("P", SIZE[::-1], ids.tobytes())
            palette.putpalette(COLOURS.ravel().tolist())
            (root / home / "SegmentationClass").mkdir(parents=True, exist_ok=True)
            palette.save(root / home / "SegmentationClass" / f"{name}.png")
        lists = root / home / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True)
        image(root / home / "JPEGImages" / "unlabelled.jpg", ids)
        for split, count in PARTS.items():
            (lists / f"{split}.txt").write_text("".join(f"{split}_{number:04}\n" for number in range(count)))

    return write


def kitti(truth, values, name="{n:06}", mask_name="{n:06}"):
    """All images are in training, without splits."""

    def write(root):
        for number, (_, _, ids) in enumerate(frames()):
            image(root / f"training/image_2/{name.format(n=number)}.png", ids)
            mask(root / f"training/{truth}/{mask_name.format(n=number)}.png", np.array(values, np.uint8)[ids])
        image(root / "testing/image_2/um_000000.png", ids)

    return write


KITTI = {
    "semantic": (kitti("semantic", IDS[:CLASSES], "{n:06}_10", "{n:06}_10"), STREET),
    "road": (kitti("gt_image_2", list(ROAD.values()), "um_{n:06}", "um_road_{n:06}"), ("no road", "road")),
}


@pytest.mark.parametrize("kind", KITTI)
def test_kittis_masks_are_read(tmp_path, kind, caplog):
    """Of the road's three colours the first is no class, so the ids of the others move up."""
    write, names = KITTI[kind]
    write(tmp_path)
    listing = list_masks(tmp_path)
    assert listing.class_names == names and sum(len(listing[split]) for split in SPLITS) == sum(PARTS.values())
    assert listing.layout == "KITTI's masks" and "no masks for testing" in caplog.text
    part, moved = listing["val"], np.array([0, 1, 2] if kind == "semantic" else [IGNORE, 0, 1])
    for file, truth in zip(part.files, part.masks, strict=True):
        with Image.open(file) as opened:
            shown = np.asarray(opened)[..., 0] // 60
        assert (read_mask(truth, file, part.ids, SIZE, Resize()) == moved[shown]).all()


def test_cityscapes_folders_with_other_masks_say_which_are_read(tmp_path):
    cityscapes("labellevel3Ids")(tmp_path)
    with pytest.raises(BadInput, match="no masks that end in labelIds or labelTrainIds.png. .*classes.txt"):
        list_masks(tmp_path)


FOLDERS = "folders of images and of masks"
WRITTEN = {
    "camvid": (FOLDERS, in_folders("{split}/{n:04}.png", "{split}annot/{n:04}.png")),
    "camvid's endings": (FOLDERS, in_folders("{split}/{n:04}.png", "{split}_labels/{n:04}_L.png", "class_dict.csv")),
    "split in kind": (FOLDERS, in_folders("images/{split}/{n:04}.jpg", "masks/{split}/{n:04}_mask.png")),
    "kind in split": (FOLDERS, in_folders("{split}/images/{n:04}.jpg", "{split}/masks/{n:04}.png", "labelmap.txt")),
    "split of a year": (FOLDERS, in_folders("images/{split}2017/{n:04}.jpg", "annotations/{split}2017/{n:04}.png")),
    "one folder": (FOLDERS, in_folders("{split}/{n:04}.jpg", "{split}/{n:04}_mask.png", "label_colors.txt")),
    "flat cityscapes": (FOLDERS, in_folders("images/{split}/u_{n:04}_leftImg8bit.png",
                                            "masks/{split}/u_{n:04}_gtFine_labelIds.png")),
    "one word": (FOLDERS, in_folders("image/{split}/{n:04}.jpg", "label/{split}/{n:04}_P.gif", names="codes.txt")),
    "words in bars": (FOLDERS, in_folders("{split}_images/{n:04}.jpg", "{split}_masks/{n:04}.tif")),
    "mmsegmentation": (FOLDERS, in_folders("img_dir/{split}/{n:04}.jpg", "ann_dir/{split}/{n:04}.bmp")),
    "roboflow": (FOLDERS, in_folders("{split}/{n:04}_jpg.rf.0a1.jpg", "{split}/{n:04}_jpg.rf.0a1_mask.png",
                                     names="train/_classes.csv")),
    "label ids": ("Cityscapes", cityscapes("labelIds")),
    "train ids": ("Cityscapes", cityscapes("labelTrainIds")),
    "two archives": ("Cityscapes", cityscapes("labelIds", ("leftImg8bit_trainvaltest/leftImg8bit",
                                                           "gtFine_trainvaltest/gtFine"))),
    **{place: ("BDD100K's masks", bdd100k(place)) for place in PLACES},
    "bdd100k/": ("BDD100K's masks", bdd100k("labels/drivable/masks", "bdd100k")),
    "voc": ("Pascal VOC's masks", voc()),
    "vocdevkit": ("Pascal VOC's masks", voc("VOCdevkit/VOC2012")),
}  # fmt: skip
NAMES = {place: names for place, (_, _, names) in PLACES.items()} | {
    "bdd100k/": PLACES["labels/drivable/masks"][2], "voc": VOC, "vocdevkit": VOC,
    "label ids": STREET, "train ids": STREET, "two archives": STREET,
}  # fmt: skip


def each_shows_its_mask(part):
    for file, truth in zip(part.files, part.masks, strict=True):
        found = read_mask(truth, file, part.ids, SIZE, Resize())
        with Image.open(file) as opened:
            shown = np.asarray(opened)[..., 0]
        assert np.abs(found * 60.0 - shown).mean() < 12  # what JPEG costs such noise; another image is 60 off


@pytest.mark.parametrize("case", WRITTEN)
def test_every_layout_gives_the_same_masks(tmp_path, case):
    layout, write = WRITTEN[case]
    write(tmp_path)
    assert layouts(tmp_path, MASKS)[0] == layout
    listing = list_masks(tmp_path)
    assert listing.class_names == NAMES.get(case, STREET[:CLASSES])
    assert {split: len(listing[split]) for split in SPLITS} == PARTS
    for split in SPLITS:
        part = listing[split]
        each_shows_its_mask(part)
        same = {tuple(read_mask(truth, file, part.ids, SIZE, Resize()).ravel())
                for file, truth in zip(part.files, part.masks, strict=True)}  # fmt: skip
        assert same == {tuple(ids_of(split, number).ravel()) for number in range(PARTS[split])}


DRAWN = {
    "cvat's camvid": in_folders("default/{split}{n}.png", "defaultannot/{split}{n}.png", "label_colors.txt"),
    "labelme": in_folders("JPEGImages/{split}{n}.jpg", "SegmentationClassPNG/{split}{n}.png", names="class_names.txt"),
}


@pytest.mark.parametrize("tool", DRAWN)
def test_what_tools_export_without_splits_is_read(tmp_path, tool):
    DRAWN[tool](tmp_path)
    if tool == "labelme":
        (tmp_path / "SegmentationClass").mkdir()
        np.save(tmp_path / "SegmentationClass" / "train0.npy", ids_of("train", 0))
    listing = list_masks(tmp_path)
    assert listing.class_names == STREET[:CLASSES]
    assert sum(len(listing[split]) for split in SPLITS) == sum(PARTS.values())
    for split in SPLITS:
        each_shows_its_mask(listing[split])


def test_every_layout_is_written_here():
    assert {layout for layout, _ in WRITTEN.values()} | {"TuSimple's lanes", "CULane's lanes", "KITTI's masks"} == set(
        READERS
    )


def lines_of(number):
    rows = np.arange(40, 88, 8, dtype=np.float32)
    return [np.stack([50 + number + slope * (rows - 40), rows], 1) for slope in (-0.9, 0.4)]


def tusimple(root, table="label_data_0601.json", home=""):
    records = []
    for number in range(40):
        name = f"clips/0601/{1494453497 + 6 * number}/20.jpg"
        image(root / home / name, np.full((90, 160), number % CLASSES, np.uint8))
        lanes = [[-2, *line[:, 0].tolist()] for line in lines_of(number)]
        records.append({"raw_file": name, "h_samples": list(range(32, 88, 8)), "lanes": lanes})
    (root / table).write_text("".join(json.dumps(record) + "\n" for record in records))


def culane(root, lists=False):
    for number in range(40):
        path = root / "driver_23_30frame" / f"0515{number // 4:04}.MP4" / f"{number:05}.jpg"
        image(path, np.full((90, 160), number % CLASSES, np.uint8))
        rows = [" ".join(f"{x:g} {y:g}" for x, y in line.tolist()) for line in lines_of(number)]
        path.with_suffix(".lines.txt").write_text(" \n".join(rows) + "\n")
    if lists:
        (root / "list").mkdir()
        names = [f"/{path.relative_to(root)}" for path in sorted(root.rglob("*.jpg"))]
        for name, part in (("train_gt", names[:28]), ("val", names[28:34]), ("test", names[34:])):
            rows = [f"{name} /laneseg_label_w16{name[:-4]}.png 1 1 0 0" for name in part]
            (root / "list" / f"{name}.txt").write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize("write", [
    tusimple, culane, lambda root: culane(root, lists=True),
    lambda root: tusimple(root, "train_set/label_data_1.json", "train_set"),
], ids=["tusimple", "culane", "culane's lists", "tusimple's archive"])  # fmt: skip
def test_lanes_of_both_forms_are_drawn_alike(tmp_path, write):
    (tmp_path / "train_set").mkdir()
    write(tmp_path)
    listing = list_masks(tmp_path)
    assert listing.class_names == LANES and sum(len(listing[split]) for split in SPLITS) == 40
    found = {}
    for split in SPLITS:
        part = listing[split]
        for file, truth in zip(part.files, part.masks, strict=True):
            found[read_mask(truth, file, part.ids, (90, 160), Resize()).tobytes()] = file
    assert set(found) == {drawn(lines_of(number), (90, 160)).tobytes() for number in range(40)}
    column = drawn(lines_of(0), (90, 160))[64]
    assert column[28] == column[60] == 1 and column[45] == 0 and 16 < column[:45].sum() < 26


def test_recordings_stay_whole_where_splits_are_drawn(tmp_path):
    culane(tmp_path)
    listing = list_masks(tmp_path)
    drives = [{file.parent.name for file in listing[split].files} for split in SPLITS]
    assert sum(map(len, drives)) == len(set.union(*drives)) == 10


def test_tusimples_test_labels_are_the_test_split(tmp_path):
    for folder, table in (("train_set", "train_set/label_data_0313.json"), ("test_set", "test_label.json")):
        (tmp_path / folder).mkdir()
        tusimple(tmp_path, table, folder)
    listing = list_masks(tmp_path)
    assert len(listing["test"]) == 40 and {file.parts[-5] for file in listing["test"].files} == {"test_set"}
    assert len(listing["train"]) + len(listing["val"]) == 40


def test_cityscapes_own_test_masks_are_left_out_and_val_is_the_test(tmp_path, caplog):
    cityscapes("labelIds")(tmp_path)
    for path in tmp_path.glob("gtFine/test/ulm/*"):
        mask(path, np.ones(SIZE, np.uint8))
    listing = list_masks(tmp_path)
    assert len(listing["test"]) == PARTS["val"] and {f.parts[-3] for f in listing["test"].files} == {"val"}
    assert "test is left out: its masks show no class" in caplog.text


def test_classes_may_be_renamed_by_their_count_or_told_for_every_id(tmp_path):
    cityscapes("labelIds")(tmp_path)
    own = [f"class {number}" for number in range(19)]
    listing = list_masks(tmp_path, own)
    assert listing.class_names == tuple(own) and listing["train"].ids.table[[7, 8, 33, 0]].tolist() == [0, 1, 18, 255]
    everything = [f"id {number}" for number in range(34)]
    assert list_masks(tmp_path, everything, ignore=5)["train"].ids.table[[0, 5, 6]].tolist() == [0, 255, 5]


def test_void_of_voc_is_ignored_and_its_test_without_masks_left_out(tmp_path, caplog):
    voc()(tmp_path)
    for path in tmp_path.glob("SegmentationClass/test*"):
        path.unlink()
    listing = list_masks(tmp_path)
    assert len(listing["test"]) == PARTS["val"] and "there are no masks for test; it is left out" in caplog.text
    assert listing["train"].ids.table[IGNORE] == IGNORE
    (tmp_path / "ImageSets" / "Segmentation" / "val.txt").write_text("train_0003\n")
    with pytest.raises(BadInput, match="train_0003 is in train and in val. Keep it in one of them"):
        list_masks(tmp_path)


@pytest.mark.parametrize(("line", "said"), [
    ('{"raw_file": "clips/1/20.jpg", "h_samples": [1, 2], "lanes": [[1]]}', "a lane has 1 numbers, but there are 2"),
    ('{"raw_file": 3, "h_samples": [], "lanes": []}', 'needs a text, "raw_file"'),
    ('{"raw_file": "a", "h_samples": [1], "lanes": [["x"]]}', "must be a list of numbers"),
    ("[", "see line 41"),
    ('{"raw_file": "clips/0601/1494453497/20.jpg", "h_samples": [1], "lanes": []}', "is that of an earlier line"),
])  # fmt: skip
def test_a_line_of_tusimple_that_is_none_is_named(tmp_path, line, said):
    tusimple(tmp_path)
    path = tmp_path / "label_data_0601.json"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(BadInput, match=said) as caught:
        list_masks(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("line", [".", "/", "..", "/none.jpg"])
def test_a_line_of_a_list_of_culane_that_names_no_image_is_counted(tmp_path, line):
    culane(tmp_path, lists=True)
    path = tmp_path / "list" / "train_gt.txt"
    path.write_text(f"{path.read_text()}{line} /mask.png 1 1 0 0\n")
    with pytest.raises(BadInput, match="1 of 41 images and masks are no pairs"):
        list_masks(tmp_path)


def test_odd_lines_of_culane_are_bad_masks(tmp_path):
    culane(tmp_path)
    path = next(iter(sorted(tmp_path.rglob("*.lines.txt"))))
    for text in ("1 2 3", "1 x", "nan 3", "1e9 2"):
        path.write_text(f"1 2 3 4\n{text}\n")
        with pytest.raises(BadInput, match="line 2 is no row of points"):
            read_mask(path, path.with_name(path.name.replace(".lines.txt", ".jpg")), None, SIZE, Resize())
    path.unlink()
    assert sum(len(part) for part in list_masks(tmp_path).splits.values()) == 39


@pytest.mark.real
@pytest.mark.parametrize(("name", "counts", "names"), [
    ("cityscapes", 6, STREET), ("tusimple", 6, LANES), ("colour_masks", 5, None)])  # fmt: skip
def test_real_samples_are_listed(shared, name, counts, names):
    listing = list_masks(shared / "data/format_samples" / name)
    assert sum(len(part) for part in listing.splits.values()) == counts
    assert names is None or listing.class_names == names


def test_a_folder_of_several_layouts_says_which_to_name(tmp_path):
    (tmp_path / "lanes").mkdir()
    tusimple(tmp_path / "lanes")
    culane(tmp_path / "other")
    with pytest.raises(BadInput, match=r"lanes holds images and their masks \(TuSimple's lanes\): name that folder"):
        list_masks(tmp_path)
