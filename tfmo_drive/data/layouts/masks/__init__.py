"""Reads each layout of images and masks, one file a layout; data.layouts.masks.mask_listing chooses among them."""
