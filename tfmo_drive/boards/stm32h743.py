"""STM32H743: a Cortex-M7 with 2 MB of flash and 1 MB of RAM, half of which is in one piece.

Two published measurements on Cortex-M7 bound its cycles per multiply-accumulate, which depend on kernels and network:

- few: MLPerf Tiny's ResNet (3x3 convolutions) through ST's own X-CUBE-AI on an STM32H7A3 at 280 MHz, 18.401 inferences
  a second: https://github.com/mlcommons/tiny_results_v1.0/tree/main/closed/STMicroelectronics/results/NUCLEO-H7A3ZI-Q/ic
  (clock: closed/STMicroelectronics/systems in https://github.com/mlcommons/tiny_results_v0.7);
- many: MobileNetV2 (width 0.30, 80 x 80 px, 1000 classes) through TensorFlow Lite Micro 2.5 with CMSIS-NN on an
  STM32F746 at 216 MHz, 129 ms an inference, as Plumerai measured, which sells another runtime:
  https://blog.plumerai.com/2021/10/cortex-m-inference-software/
"""

from tfmo_drive.boards.board import Board
from tfmo_drive.targets.tflite_micro import TFLiteMicro

_SHEET = "https://www.st.com/resource/en/datasheet/stm32h743bi.pdf"
RESNET_MACS, MOBILENET_MACS = 12_501_632, 8_970_112
"""The multiply-accumulates of the two networks, which neither source gives; counted from their layers."""

BOARD = Board(
    title="STM32H743 (Cortex-M7)",
    target=TFLiteMicro(),
    flash_bytes=2 * 2**20,
    ram_bytes=512 * 2**10,
    clock_hz=480_000_000,
    channel_multiple=4,
    cycles_per_mac=(280e6 / 18.401 / RESNET_MACS, 216e6 * 0.129 / MOBILENET_MACS),
    sources={
        "flash_bytes": _SHEET,
        "ram_bytes": f"AXI SRAM, the largest piece of 1 MB: {_SHEET}",
        "clock_hz": _SHEET,
        "cycles_per_mac": "MLPerf Tiny's ResNet with X-CUBE-AI on an STM32H7A3, "
        "https://github.com/mlcommons/tiny_results_v1.0, to MobileNetV2 with TensorFlow Lite Micro and CMSIS-NN on an "
        "STM32F746, https://blog.plumerai.com/2021/10/cortex-m-inference-software/",
        "channel_multiple": "four int8 in a 32-bit register of the DSP extension, as CMSIS-NN uses them",
    },
    microcontroller=True,
)
