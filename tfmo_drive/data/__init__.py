"""Turns files into examples: images, boxes, masks, splits, augmentation, batches (floor 1)."""
