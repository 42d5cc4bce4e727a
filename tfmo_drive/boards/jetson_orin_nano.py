"""Jetson Orin Nano with 4 GB, its processor alone (six Cortex-A78AE): int8 `.tflite` files do not use its GPU."""

from tfmo_drive.boards.board import Board
from tfmo_drive.targets.litert import LiteRTInt8

BOARD = Board(
    title="Jetson Orin Nano 4 GB (CPU)",
    target=LiteRTInt8(threads=6),
    flash_bytes=4 * 2**30,
    ram_bytes=4 * 2**30,
    clock_hz=1_500_000_000,
    channel_multiple=16,
    sources={
        "flash_bytes": "a card of 8 GB, half of it for the system; larger ones are common",
        "ram_bytes": "https://developer.nvidia.com/downloads/jetson-orin-nano-series-modules-data-sheet",
        "clock_hz": "https://developer.nvidia.com/downloads/jetson-orin-nano-series-modules-data-sheet",
        "channel_multiple": "16 columns in a register tile of int8 dot-product kernels: https://github.com/google/XNNPACK/tree/master/src/qs8-qc8w-gemm",
    },
)
