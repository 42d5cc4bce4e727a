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
    sources={
        "flash_bytes": _SHEET,
        "ram_bytes": f"AXI SRAM, the largest piece of 1 MB: {_SHEET}",
        "clock_hz": _SHEET,
        "channel_multiple": "four int8 in a 32-bit register of the DSP extension, as CMSIS-NN uses them",
    },
    microcontroller=True,
)
