"""Measures what changes between frames of a clip and should not: boxes that come, go or jump, pixels that flip.

A detector that finds a car in every other frame has half its recall and none of its use; a tracker feels the jumps
(Zhang & Wang 2016, "On the stability of video detection and tracking", arXiv:1611.06467, fragment and centre errors).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfmo_drive.data.boxes import Detections, Truth, iou

FOUND = 0.5
"""The IoU from which a detection counts as one of the object: PASCAL VOC's."""


def of_boxes(
    found: Sequence[Detections], truths: Sequence[Truth], identities: Sequence[Sequence[int]], clips: np.ndarray
) -> dict[str, float]:
    """Returns flicker and box_jitter, means over pairs of successive frames; a number without any pair is left out.

    flicker is how often an object that is there in both frames is found in only one of them. box_jitter is how far its
    box jumps against the object between frames in which both find it, in roots of its area.

    Args:
        found: The detections that are acted upon, one entry for each frame.
        truths: The objects of each frame (crowds are left out).
        identities: Which thing each of these objects is, equal from frame to frame.
        clips: int [n], the clip of each frame; frames of one clip follow one another.
    """
    flips, jumps = [], []
    before: dict[int, np.ndarray | None] = {}
    for place, (said, truth, names) in enumerate(zip(found, truths, identities, strict=True)):
        if not place or clips[place] != clips[place - 1]:
            before = {}
        now = {name: _offset(said, truth, i) for i, name in enumerate(names) if not truth.crowd[i]}
        for name, offset in now.items():
            if name in before:
                last = before[name]
                flips.append((offset is None) != (last is None))
                if offset is not None and last is not None:
                    jumps.append(float(np.hypot(*(offset - last))))
        before = now
    numbers = {"flicker": flips, "box_jitter": jumps}
    return {name: float(np.mean(values)) for name, values in numbers.items() if values}


def _offset(found: Detections, truth: Truth, index: int) -> np.ndarray | None:
    """Returns the best box's offset from the object's middle, in roots of its area; None where none is found."""
    rivals = np.flatnonzero(found.classes == truth.classes[index])
    overlaps = iou(found.boxes[rivals], truth.boxes[index : index + 1])[:, 0]
    if not len(rivals) or overlaps.max() < FOUND:
        return None
    box, theirs = found.boxes[rivals[np.argmax(overlaps)]], truth.boxes[index]
    middles = [(one[:2] + one[2:]) / 2 for one in (box, theirs)]
    return (middles[0] - middles[1]) / np.sqrt(np.prod(theirs[2:] - theirs[:2]))


def of_pixels(decided: np.ndarray, masks: np.ndarray, clips: np.ndarray) -> dict[str, float]:
    """Returns changed_pixels, the share of the pixels with unchanged truth whose answer changes to the next frame.

    It returns {} where there are none.

    Args:
        decided: The answers, uint8 [n, h, w].
        masks: The truth, uint8 [n, h, w].
        clips: int [n], the clip of each frame; frames of one clip follow one another.
    """
    together = np.diff(clips) == 0
    same = (masks[1:] == masks[:-1])[together]
    changed = (decided[1:] != decided[:-1])[together] & same
    return {"changed_pixels": float(changed.sum() / same.sum())} if same.any() else {}
