"""Annotations that are not read are told from others, and by which layouts they can be brought."""

import json

import pytest

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.layouts.boxes.box_listing import READERS, list_boxes
from tfmo_drive.data.layouts.listing import list_source

BOX = {"x": 1, "y": 2, "width": 3, "height": 4}
WRITTEN = {
    "LabelMe": ("0.json", json.dumps({"version": "5", "shapes": [{"label": "car"}], "imagePath": "0.jpg"})),
    "the VGG Image Annotator (VIA)": ("via.json", json.dumps({"0.jpg1": {"regions": [{"shape_attributes": BOX}]}})),
    "the VGG Image Annotator (VIA) ": ("via.csv", "filename,region_count,region_shape_attributes\n0.jpg,0,{}\n"),
    "Label Studio": ("project.json", json.dumps([{"annotations": [{"result": [{"from_name": "label"}]}]}])),
    "CVAT for images": ("annotations.xml", '<?xml version="1.0"?>\n<annotations><version>1.1</version>'
                        '<image id="0" name="0.jpg"></image></annotations>'),
    "Mapillary's traffic signs": ("annotations/0.json", json.dumps({"width": 9, "ispano": False, "objects": []})),
    "Tsinghua-Tencent 100K": ("annotations_all.json", json.dumps({"imgs": {}, "types": ["i1"]})),
    "CreateML": ("train/_annotations.createml.json", json.dumps([{"annotations": [{"coordinates": BOX}]}])),
    "keras-yolo3": ("train.txt", "images/0.jpg 1,2,3,4,0 5,6,7,8,1\n"),
    "Supervisely": ("ds/ann/0.jpg.json", json.dumps({"objects": [{"classTitle": "car"}]})),
    "Datumaro": ("annotations/default.json", json.dumps({"info": {}, "categories": {"label": {"labels": []}}})),
    "a Hugging Face image folder": ("train/metadata.jsonl", json.dumps({"file_name": "0", "objects": {"bbox": []}})),
    "CityPersons": ("gtBboxCityPersons/train/ulm/0.json", json.dumps({"objects": [{"bboxVis": [0, 0, 1, 1]}]})),
    "Bosch's Small Traffic Lights": ("train.yaml", "- boxes:\n  - {label: Red, x_max: 2}\n  path: ./rgb/0.png\n"),
    "Virtual KITTI": ("clone/bbox.txt", "frame cameraID trackID left right top bottom number_pixels\n"),
    "VisDrone": ("annotations/0.txt", "684,8,273,116,0,0,0,0\n"),
    "WIDER FACE": ("wider_face_train_bbx_gt.txt", "0--Parade/0.jpg\n1\n449 330 122 149 0 0 0 0 0 0 \n"),
    "CrowdHuman": ("annotation_train.odgt", json.dumps({"ID": "0", "gtboxes": [{"tag": "person"}]})),
    "nuScenes": ("v1.0-mini/sample_annotation.json", "[]"),
    "nuImages": ("v1.0-mini/object_ann.json", "[]"), "MOT Challenge": ("seqinfo.ini", "[Sequence]\n"),
    "TensorFlow's records": ("train.tfrecord-00000-of-00002", ""), "Mapillary Vistas": ("config_v1.2.json", "{}"),
}  # fmt: skip


@pytest.mark.parametrize("writer", WRITTEN)
@pytest.mark.parametrize("read", [list_source, list_boxes])
def test_what_is_not_read_is_named_with_what_is(tmp_path, writer, read):
    name, text = WRITTEN[writer]
    for path, content in ((name, text), ("images/0.jpg", "")):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    with pytest.raises(BadInput) as refused:
        read(tmp_path)
    said = str(refused.value)
    assert (
        f"{tmp_path / name}".rpartition("/")[2] + f" holds annotations of {writer.strip()}, which are not read" in said
    )
    assert all(layout in said for layout in READERS) and "\n" not in said


def test_a_driving_log_without_columns_is_told_which_to_write(tmp_path):
    (tmp_path / "data").mkdir()
    for number in range(9):
        (tmp_path / "data" / f"{number}.jpg").write_bytes(b"")
    (tmp_path / "data.txt").write_text("0.jpg 12.37,2018-07-01 17:09:44:912\n1.jpg -3.1\n")
    with pytest.raises(BadInput, match="data.txt holds .* Write it as driving_log.csv with the columns image,steering"):
        list_source(tmp_path)


def test_what_is_read_is_not_foreign(tmp_path):
    (tmp_path / "notes.json").write_text(json.dumps({"categories": [{"id": 0, "name": "car"}], "info": {}}))
    with pytest.raises(BadInput, match="Expected one folder per class"):
        list_source(tmp_path)
