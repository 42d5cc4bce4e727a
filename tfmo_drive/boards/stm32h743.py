"""STM32H743: a Cortex-M7 with 2 MB of flash and 1 MB of RAM, half of which is in one piece."""

from tfmo_drive.boards.board import Board
from tfmo_drive.targets.tflite_micro import TFLiteMicro

_SHEET = "https://www.st.com/resource/en/datasheet/stm32h743bi.pdf"

BOARD = Board(
    title="STM32H743 (Cortex-M7)",
    target=TFLiteMicro(),
    flash_bytes=2 * 2**20,
    ram_bytes=512 * 2**10,
    clock_hz=480_000_000,
    channel_multiple=4,
    cycles_per_mac=(1.4, 2.8),
    sources={
        "flash_bytes": _SHEET,
        "ram_bytes": f"AXI SRAM, the largest piece of 1 MB: {_SHEET}",
        "clock_hz": _SHEET,
        "cycles_per_mac": "convolutions of a CNN on CIFAR-10 with CMSIS-NN's 8-bit kernels on a Cortex-M7 at 216 MHz: "
        "13.1 million operations, two for each, in 42.8 ms, and 4.9 million in 31.4 ms; layers that move more data "
        "than they compute take longer: Lai, Suda & Chandra 2018, https://arxiv.org/abs/1801.06601",
        "channel_multiple": "four int8 in a 32-bit register of the DSP extension, as CMSIS-NN uses them",
    },
    microcontroller=True,
)
