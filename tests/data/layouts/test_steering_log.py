import json

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.image_cache import pack
from tfmo_drive.data.layouts.steering_log import CAMERA, list_log, time_blocks, with_side_cameras
from tfmo_drive.data.splitting import SPLITS


@pytest.fixture
def root(tmp_path):
    return tmp_path / "drive"


def name(second, thousandth=0):
    return f"center_2018_07_16_17_{second // 60:02}_{second % 60:02}_{thousandth:03}.jpg"


def log(root, lines, names, folder=""):
    (root / folder).mkdir(parents=True, exist_ok=True)
    for file in names:
        (root / folder / file).write_bytes(b"")
    (root / "driving_log.csv").write_text("\n".join(lines) + "\n")
    return root / "driving_log.csv"


def seconds(root, count, steering=lambda index: 0.1, split=lambda index: "", folder="images"):
    """A log of one frame a second."""
    names = [name(index) for index in range(count)]
    lines = [f"{file},{steering(index)}{split(index)}" for index, file in enumerate(names)]
    return log(root, ["image,Steering Angle" + ",split" * bool(split(0)), *lines], names, folder)


def everything(listing):
    parts = [listing[split] for split in SPLITS]
    files = [file.name for part in parts for file in part.files]
    order = np.argsort(files)
    labels, groups = (np.concatenate([getattr(part, key) for part in parts])[order] for key in ("labels", "groups"))
    return [files[place] for place in order], labels, groups


def test_frames_come_with_their_steering_in_blocks_of_five_seconds(root):
    listing = list_log(seconds(root, 100, lambda index: (index - 50) / 50))
    files, labels, groups = everything(listing)
    assert files == [name(index) for index in range(100)]
    assert labels.dtype == np.float32 and labels.shape == (100, 1)
    assert labels[:, 0].tolist() == pytest.approx([(index - 50) / 50 for index in range(100)])
    assert len(set(groups.tolist())) == 20 and (np.diff(groups) >= 0).all()
    assert [len(np.unique(listing[split].groups)) for split in SPLITS] == [14, 3, 3]
    assert list_log(root)["val"].files == listing["val"].files != list_log(root, seed=1)["val"].files


def test_neighbours_in_time_are_in_one_block_however_the_lines_are_shuffled(root):
    path = seconds(root, 100)
    files, _, groups = everything(list_log(path))
    head, *lines = path.read_text().splitlines()
    path.write_text("\n".join([head, *np.random.default_rng(0).permutation(lines)]) + "\n")
    shuffled, _, again = everything(list_log(path))
    assert shuffled == files and np.array_equal(again, groups) and len(set(groups)) == 20


def test_a_log_of_train_and_val_has_its_val_as_test(root):
    listing = list_log(seconds(root, 100, split=lambda index: ",train" if index < 80 else ",val"))
    assert [file.name for file in listing["test"].files] == [name(index) for index in range(80, 100)]
    assert len(listing["val"]) and max(file.name for file in listing["val"].files) < name(80)


def test_the_simulators_own_log_has_no_header_and_paths_of_another_machine(root):
    names = [name(index) for index in range(40)]
    lines = [f"C:\\Users\\me\\IMG\\{file}, C:\\left.jpg, C:\\right.jpg, -0.25, 1, 0, 30.1" for file in names]
    files, labels, _ = everything(list_log(log(root, lines, names, "IMG")))
    assert files == names and set(labels[:, 0].tolist()) == {-0.25}


def test_speeds_are_read_where_they_are_asked_for_and_refused_where_they_are_no_numbers(root):
    names = [name(index) for index in range(40)]
    lines = [
        f"{file}, l.jpg, r.jpg, -0.25, 1, 0, {'fast' if index == 3 else index}" for index, file in enumerate(names)
    ]
    path = log(root, lines, names, "IMG")
    assert everything(list_log(path))[1].dtype == np.float32, "a speed that nobody asks for may be anything"
    with pytest.raises(
        BadInput, match=f'1 of 40 frames have .*or no speed that is a number: {name(3)} with speed "fast"'
    ):
        list_log(path, values=("steering", "speed"))
    _, labels, _ = everything(list_log(path, values=("steering", "speed"), skip_bad=True))
    assert labels["speed"].tolist() == [[index] for index in range(40) if index != 3]
    assert set(labels["steering"][:, 0].tolist()) == {-0.25}


def test_a_log_may_name_folders(root):
    (root / "first").mkdir(parents=True)
    names = [f"first/{name(index)}" for index in range(40)]
    files, _, _ = everything(list_log(log(root, ["file,steer", *(f"{file},0" for file in names)], names)))
    assert len(files) == 40


def test_another_unit_is_divided_by_its_full_lock(root):
    path = seconds(root, 40, lambda index: -450)
    assert set(everything(list_log(path, limit=900))[1][:, 0].tolist()) == {-0.5}
    for limit in (0, -1, float("nan"), float("inf")):
        with pytest.raises(BadInput, match="limit must be a positive number"):
            list_log(path, limit=limit)


def test_frames_that_cannot_be_used_are_counted_and_left_out_only_when_asked(root):
    odd = {3: "1.2", 5: "nan", 6: "left", 7: "-1.001"}
    path = seconds(root, 60, lambda index: odd.get(index, 0.5))
    (root / "images" / name(9)).unlink()
    with pytest.raises(BadInput) as caught:
        list_log(path)
    text = str(caught.value)
    assert "5 of 60 frames have no image of their own or no steering in -1..1: " in text and "\n" not in text
    assert f'{name(3)} with steering "1.2", {name(5)} with steering "nan"' in text and f"no image {name(9)}" in text
    files, labels, _ = everything(list_log(path, skip_bad=True))
    assert files == [name(index) for index in range(60) if index not in (*odd, 9)] and set(labels[:, 0]) == {0.5}


def test_missing_columns_are_named(root):
    path = log(root, ["center,wheel", "a.jpg,0"], [])
    with pytest.raises(BadInput, match="has no column for the steering; .* Call the column steering or steering_angle"):
        list_log(path)
    with pytest.raises(BadInput, match="1 of 1 frames"):
        list_log(path, {"steering": "wheel"})


def test_what_holds_no_log_is_said_with_what_to_type(root):
    root.mkdir()
    with pytest.raises(
        BadInput, match="drive holds no driving_log.csv. Name the log itself, with --data=.*drive/NAME.csv"
    ):
        list_log(root)
    with pytest.raises(
        BadInput, match="other.csv cannot be read: No such file or directory. Expected a CSV file"
    ) as caught:
        list_log(root / "other.csv")
    assert "Errno" not in str(caught.value)
    with pytest.raises(BadInput, match="No rows in .*driving_log.csv. Expected a header line") as caught:
        list_log(log(root, ["image,steering"], []))
    assert "images" not in str(caught.value)


@pytest.mark.parametrize("again", ["images/" + name(3), r"C:\me\IMG" + "\\" + name(3)])
def test_an_image_of_two_frames_is_refused_and_never_in_two_splits(root, again):
    path = seconds(root, 60, split=lambda index: ",train" if index < 30 else ",test")
    path.write_text(path.read_text() + f"{again},0.1,test\n")
    with pytest.raises(BadInput, match=f"1 of 61 frames have no image of their own .*: {name(3)} once more. Mend"):
        list_log(path)
    listing = list_log(path, skip_bad=True)
    assert len(everything(listing)[0]) == len(set(everything(listing)[0])) == 60
    assert name(3) not in [file.name for file in listing["test"].files]


def test_names_that_no_file_can_have_are_missing(root):
    path = seconds(root, 60)
    path.write_text(path.read_text() + f"{'x' * 400}.jpg,0\n{'y' * 400}/a.jpg,0\n")
    with pytest.raises(BadInput, match="2 of 62 frames have no image of their own"):
        list_log(path)


def test_blocks_are_of_equal_time_and_end_at_pauses_steps_back_and_splits():
    times = np.array([0, 4, 5, 9, 10, 30, 31, 2, 3, 4]) / 1.0
    splits = np.array(["train"] * 9 + ["val"])
    times[:5] = [0, 0.9, 1.8, 2.7, 3.6]
    assert time_blocks(times, splits).tolist() == [0, 0, 0, 0, 0, 1, 1, 2, 2, 3]
    steady = time_blocks(np.arange(0, 12, 0.5), np.full(24, "train"))  # 11.5 s: two blocks of 5.75
    assert np.bincount(steady).tolist() == [12, 12]


def test_without_times_frames_are_counted_at_the_simulators_rate(root):
    names = [f"{index}.png" for index in range(450)]
    _, _, groups = everything(list_log(log(root, ["file,steering", *(f"{file},0" for file in names)], names)))
    assert np.bincount(groups).tolist() == [75] * 6  # 5 s of 15 frames


@pytest.mark.real
def test_the_simulators_log_is_listed_and_packed(shared, tmp_path):
    listing = list_log(shared / "data/lane_udacity_sim")
    assert [len(listing[split]) for split in SPLITS] == [604, 106, 101]
    assert [len(np.unique(listing[split].groups)) for split in SPLITS] == [34, 6, 6]
    train = listing["train"].labels
    assert train.min() == -1 and train.max() == 1 and 0.7 < (train == 0).mean() < 0.73
    for split in SPLITS:  # 3.5 frames a second
        assert np.bincount(listing[split].groups).max() <= 20
    examples = pack(listing["test"], (40, 80), folder=tmp_path)
    pixels, labels = examples.read(np.arange(5))
    assert pixels.shape == (5, 40, 80, 3) and np.array_equal(labels, listing["test"].labels[:5])
    with Image.open(listing["test"].files[0]) as image:
        assert image.size == (320, 160)


def three_cameras(root, count=100, header="center,left,right,steering,throttle,brake,speed"):
    """A log of one moment a second with an image of each camera."""
    names = [name(index) for index in range(count)]
    sides = [[file.replace("center", side) for side in ("center", "left", "right")] for file in names]
    lines = [f"{', '.join(moment)}, {0.9 if index % 2 else -0.1}, 1, 0, 30" for index, moment in enumerate(sides)]
    return log(root, [header, *lines] if header else lines, [file for moment in sides for file in moment], "IMG")


@pytest.mark.parametrize("header", ["center,left,right,steering,throttle,brake,speed", ""])
def test_side_cameras_join_their_moments_in_train_alone(root, header):
    path = three_cameras(root, header=header)
    plain = list_log(path)
    listing = with_side_cameras(plain, path, None, 0.2)
    assert listing["val"] is plain["val"] and listing["test"] is plain["test"]
    train, driven, count = listing["train"], plain["train"], len(plain["train"])
    assert train.attributes[CAMERA].tolist() == ["centre"] * count + ["left"] * count + ["right"] * count
    assert train.files[:count] == driven.files and train.groups.tolist() == 3 * driven.groups.tolist()
    for side, change, part in (("left", 0.2, slice(count, 2 * count)), ("right", -0.2, slice(2 * count, None))):
        assert [f.name for f in train.files[part]] == [f.name.replace("center", side) for f in driven.files]
        expected = np.clip(driven.labels + change, -1, 1)
        assert np.allclose(train.labels[part], expected) and train.labels.dtype == np.float32
    assert train.labels.max() == 1  # 0.9 + 0.2 is more than full lock
    several = with_side_cameras(list_log(path, values=("steering", "speed")), path, None, 0.2)["train"].labels
    assert np.allclose(several["steering"], train.labels) and set(several["speed"].ravel().tolist()) == {30}


def test_side_images_that_are_missing_are_counted_and_those_of_no_column_named(root):
    path = three_cameras(root)
    missing = list_log(path)["train"].files[5]
    missing.with_name(missing.name.replace("center", "left")).unlink()
    with pytest.raises(BadInput, match="1 of .* images of the side cameras are missing: left .*left_2018"):
        with_side_cameras(list_log(path), path, None, 0.2)
    train = with_side_cameras(list_log(path), path, None, 0.2, skip_bad=True)["train"]
    assert np.unique(train.attributes[CAMERA], return_counts=True)[1].tolist() == [70, 69, 70]
    with pytest.raises(BadInput, match="has no column for the left"):
        with_side_cameras(list_log(seconds(root / "one", 40)), root / "one", None, 0.2)


def test_the_only_csv_of_a_folder_is_the_log(root):
    path = seconds(root, 40)
    path.rename(root / "frames.csv")
    assert len(everything(list_log(root))[0]) == 40
    (root / "more.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BadInput, match="holds no driving_log.csv. Name the log itself"):
        list_log(root)


def first_tub(root, count=60, deleted=()):
    """A tub of version 1, of which a record and its number stand in a file each."""
    root.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        record = {"cam/image_array": f"{number}_cam-image_array_.jpg", "user/angle": (number % 9 - 4) / 4,
                  "user/throttle": 0.3, "user/mode": "user", "milliseconds": 1000 * number}  # fmt: skip
        (root / f"record_{number}.json").write_text(json.dumps(record))
        (root / record["cam/image_array"]).write_bytes(b"")
    (root / "meta.json").write_text('{"inputs": ["cam/image_array", "user/angle"], "start": 1}')
    if deleted:
        (root / "exclude.json").write_text(json.dumps(list(deleted)))
    return root


def test_of_a_folder_of_tubs_one_is_to_be_named(root):
    for name in ("tub_1", "tub_2"):
        first_tub(root / name)
    with pytest.raises(BadInput, match="tub_1 holds a record of driving .a donkeycar tub.: name that folder"):
        list_log(root)


def test_a_tub_of_version_1_is_read_record_by_record(root, caplog):
    files, labels, groups = everything(list_log(first_tub(root, deleted=(3, 40))))
    order = np.argsort([int(file.partition("_")[0]) for file in files])
    numbers = [number for number in range(60) if number not in (3, 40)]
    assert [files[place] for place in order] == [f"{number}_cam-image_array_.jpg" for number in numbers]
    assert labels[order, 0].tolist() == [(number % 9 - 4) / 4 for number in numbers]
    assert np.unique(groups, return_counts=True)[1].max() <= 6, "blocks of five seconds"
    assert "2 of 60 records are deleted there, and left out" in caplog.text
    (root / "7_cam-image_array_.jpg").unlink()
    with pytest.raises(BadInput, match="1 of 58 frames have no image of their own .*no image 7_cam-image_array_.jpg"):
        list_log(root)
    (root / "record_9.json").write_text("[]")
    with pytest.raises(BadInput, match="record_9.json is no record of a donkeycar tub"):
        list_log(root)


def test_a_short_recording_is_cut_into_shorter_blocks_and_that_is_said(root, caplog):
    names = [f"{index}.png" for index in range(60)]  # 4 s at 15 Hz
    listing = list_log(log(root, ["file,steering", *(f"{file},0" for file in names)], names))
    assert [len(listing[split]) for split in SPLITS] == [40, 10, 10]
    assert "drawn in blocks of 0.66 s, for the recording is short" in caplog.text


def test_of_rows_of_several_cameras_those_of_the_centre_are_read(root, caplog):
    cameras = ("left_camera", "center_camera", "right_camera")
    names = [f"{camera}/{1479424215 + frame}.jpg" for frame in range(60) for camera in cameras]
    rows = [f"{name.partition('/')[0]},{name},{place / 180}" for place, name in enumerate(names)]
    for camera in cameras:
        log(root, [], [], camera)
    log(root, ["frame_id,filename,angle", *rows], names)
    files, labels, _ = everything(list_log(root))
    assert len(files) == 60 and labels[:, 0].tolist() == pytest.approx([(3 * n + 1) / 180 for n in range(60)])
    assert "120 of 180 rows are of other cameras than the centre's (column frame_id), and left out" in caplog.text
