"""Recognises annotations that are not read, so that who brings some hears what to export them as."""

from __future__ import annotations

import re
from pathlib import Path

from tfmo_drive.data.found_files import entries, folders_below
from tfmo_drive.data.layouts.known_layouts import BOXES, KINDS, begins

_INSIDE = {
    "LabelMe": r'"shapes"\s*:\s*\[|"imagePath"\s*:',
    "the VGG Image Annotator (VIA)": r'region_shape_attributes|"shape_attributes"',
    "Label Studio": r'rectanglelabels|polygonlabels|brushlabels|"from_name"\s*:',
    "CVAT for images": r"<annotations>\s*(<version>[^<]*</version>)?[\s\S]*?(<meta>|<image [^>]*name=)",
    "Mapillary's traffic signs": r'"ispano"\s*:',
    "Tsinghua-Tencent 100K": r'"imgs"\s*:\s*\{|^\{"types"\s*:\s*\[',
    "CreateML": r'"coordinates"\s*:\s*\{',
    "Supervisely": r'"classTitle"\s*:|"points"\s*:\s*\{\s*"exterior"',
    "Datumaro": r'"categories"\s*:\s*\{\s*"label"\s*:',
    "a Hugging Face image folder": r'"objects"\s*:\s*\{\s*"(bbox|categor|id|area)',
    "CityPersons": r'"bboxVis"\s*:',
    "Bosch's Small Traffic Lights": r"^-\s+boxes\s*:",
    "Virtual KITTI": r"^frame cameraID trackID left right top bottom",
    "a driving log without columns": r"^\S+\.(jpe?g|png) -?\d+\.\d+(,\d{4}-\d\d-\d\d [\d:.]+)?\s*\n",
    "VisDrone": r"^(\d+,){4}[01],\d\d?,[0-2],[0-2],?\s*(\n|$)",
    "WIDER FACE": r"(?i)^\S+\.jpe?g\n\d+\n(\d+ ){9}\d+",
    "CrowdHuman": r'"gtboxes"\s*:',
    "keras-yolo3": r"(?i)^\S+\.(jpe?g|png|bmp)( +\d+(,\d+){4})+\s*(\n|$)",
}
"""Who writes such files, to what stands in their beginnings."""
_CALLED = {
    "nuImages": r"object_ann\.json", "nuScenes": r"sample_annotation\.json",
    "KITTI's raw recordings": r"tracklet_labels\.xml",
    "MOT Challenge": r"seqinfo\.ini",
    "TensorFlow's records": r".*\.tfrecords?(-\d+-of-\d+)?",
    "Mapillary Vistas": r"config_v[\d.]+\.json",
}  # fmt: skip
"""Who writes such files, to what they are called."""
_MORE = {"TensorFlow's records": ", or write the images into folders of classes",
         "Mapillary Vistas": ", or to images/ + masks/ with the names of the ids in classes.txt"}  # fmt: skip
"""Who writes such files, to what may be done beside a conversion to boxes."""
_INSTEAD = {
    "a driving log without columns": "Write it as driving_log.csv with the columns image,steering, and say with "
    "--set=task.limit=DEGREES what full lock is."
}
"""The same of those that hold no boxes, in place of that."""
_SUFFIXES = (".json", ".jsonl", ".odgt", ".xml", ".csv", ".txt", ".yaml", ".yml")
_LOOKED = 3
"""The number of files of each suffix in a folder that are looked into."""
_DEEP, _PLACES = 3, 100
"""How deep, and in how many folders, such files are looked for."""


def foreign(data: Path) -> str:
    """Returns a sentence on annotations in a folder or a file that are not read, and what to do with them; else ""."""
    if not data.exists():
        return ""
    folders = [data, *folders_below(data, _DEEP, _PLACES)] if data.is_dir() else []
    files = [Path(entry.path) for folder in folders for entry in entries(folder) if entry.is_file()] or [data]
    for file in files:
        if writer := next((one for one, name in _CALLED.items() if re.fullmatch(name, file.name)), ""):
            return _said(writer, file)
    looked: dict[tuple[Path, str], int] = {}
    for file in files:
        place = file.parent, file.suffix.lower()
        looked[place] = looked.get(place, 0) + 1
        if place[1] in _SUFFIXES and looked[place] <= _LOOKED:
            text = begins(file)
            if writer := next((one for one, sign in _INSIDE.items() if re.search(sign, text)), ""):
                return _said(writer, file)
    return ""


def _said(writer: str, file: Path) -> str:
    instead = f"Export or convert them to one of {', '.join(KINDS[BOXES].signs)}{_MORE.get(writer, '')}."
    if writer in _INSTEAD:
        return f"{file.name} holds {writer}. {_INSTEAD[writer]}"
    return f"{file.name} holds annotations of {writer}, which are not read. {instead}"
