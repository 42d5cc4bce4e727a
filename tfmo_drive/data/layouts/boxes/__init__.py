"""Reads layouts of boxes, one file each, into COCO's own objects, which one check serves (floor 1)."""
