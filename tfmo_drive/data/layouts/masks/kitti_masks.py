"""Lists KITTI's masks of classes (Alhaija et al. 2018) and of the road (Fritsch et al. 2013), as they are given away.

    .../training/image_2/000000_10.png and semantic/000000_10.png        Cityscapes' label ids
    .../training/image_2/um_000000.png and gt_image_2/um_road_000000.png    colours

What is called testing has no masks. The road's black is that of no class: of another road.
"""

from __future__ import annotations

from pathlib import Path

from tfmo_drive.base import faults
from tfmo_drive.data.layouts.masks.cityscapes_masks import IGNORED, NAMES
from tfmo_drive.data.layouts.masks.pairs import Pairs, by_name

ROAD = {"void": (0, 0, 0), "no road": (255, 0, 0), "road": (255, 0, 255)}
_SEMANTIC, _ROAD = "semantic", "gt_image_2"


def pairs(root: Path) -> Pairs:
    """Returns the pairs, all still to be split; masks of the own lane alone (um_lane_000000.png) are left out."""
    home = root / "training" if (root / "training").is_dir() else root
    if (home / _SEMANTIC).is_dir():
        found, folder, pattern = Pairs(root, NAMES, IGNORED), home / _SEMANTIC, "(.+)"
    else:
        found, folder, pattern = Pairs(root, tuple(ROAD), (), ROAD), home / _ROAD, "(.+_road_.+)"
    masks = {name.replace("_road_", "_"): files for name, files in by_name(folder, pattern, found.odd).items()}
    images = by_name(home / "image_2", "(.+)", found.odd)
    for name, files in images.items():
        if name in masks:
            found.add(files[0], masks[name][0], "", f"{name.removesuffix('_10')}.png")
        else:
            found.odd.append(f"{files[0]} has no mask")
    found.odd += [f"{files[0]} has no image" for name, files in masks.items() if name not in images]
    if (root / "testing").is_dir():
        faults.note(root, "there are no masks for testing; it is left out.")
    return found
