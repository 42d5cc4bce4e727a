"""From files to examples: images, boxes, masks, splits, augmentation, batches (floor 1)."""
