"""Arm Corstone-300 with an Ethos-U55-128 beside a Cortex-M55, as on the MPS3 board and its free simulator."""

from tfmo_drive.boards.board import Board
from tfmo_drive.targets.ethos_u import EthosU

_KIT = (
    "https://review.mlplatform.org/plugins/gitiles/ml/ethos-u/ml-embedded-evaluation-kit/+/refs/heads/main/docs/"
    "sections/memory_considerations.md"
)

BOARD = Board(
    title="Corstone-300, Ethos-U55-128",
    target=EthosU(accelerator="ethos-u55-128"),
    flash_bytes=8 * 2**20,
    ram_bytes=2 * 2**20,
    clock_hz=500_000_000,
    channel_multiple=8,
    sources={
        "flash_bytes": f"QSPI_SRAM: {_KIT}",
        "ram_bytes": f"ISRAM0 and ISRAM1, 1 MiB each: {_KIT}",
        "clock_hz": "Ethos_U55_High_End_Embedded in Vela's Arm/vela.ini",
        "channel_multiple": "ofm_ublock of the NPU in Vela: ethosu/vela/architecture_features.py",
    },
    microcontroller=True,
)
