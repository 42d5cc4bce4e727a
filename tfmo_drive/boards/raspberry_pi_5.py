"""Raspberry Pi 5 with 4 GB: four Cortex-A76, whose int8 dot product makes int8 pay more than on a Pi 4; Linux."""

from tfmo_drive.boards.board import Board
from tfmo_drive.targets.litert import LiteRTInt8

BOARD = Board(
    title="Raspberry Pi 5, 4 GB",
    target=LiteRTInt8(threads=4),
    flash_bytes=4 * 2**30,
    ram_bytes=4 * 2**30,
    clock_hz=2_400_000_000,
    channel_multiple=16,
    sources={
        "flash_bytes": "a card of 8 GB, half of it for the system; larger ones are common",
        "ram_bytes": "https://www.raspberrypi.com/products/raspberry-pi-5/",
        "clock_hz": "https://www.raspberrypi.com/products/raspberry-pi-5/",
        "channel_multiple": "16 columns in a register tile of int8 dot-product kernels: https://github.com/google/XNNPACK/tree/master/src/qs8-qc8w-gemm",
    },
)
