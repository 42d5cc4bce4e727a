"""Raspberry Pi 4 model B with the least memory it is sold with: four Cortex-A72, Linux."""

from tfmo_drive.boards.board import Board
from tfmo_drive.targets.litert import LiteRTInt8

BOARD = Board(
    title="Raspberry Pi 4 B, 1 GB",
    target=LiteRTInt8(threads=4),
    flash_bytes=4 * 2**30,
    ram_bytes=2**30,
    clock_hz=1_500_000_000,
    channel_multiple=8,
    sources={
        "flash_bytes": "a card of 8 GB, half of it for the system; larger ones are common",
        "ram_bytes": "https://www.raspberrypi.com/products/raspberry-pi-4-model-b/specifications/",
        "clock_hz": "https://www.raspberrypi.com/products/raspberry-pi-4-model-b/specifications/",
        "channel_multiple": "8 columns in a register tile of int8 kernels without dot product: https://github.com/google/XNNPACK/tree/master/src/qs8-qc8w-gemm",
    },
)
