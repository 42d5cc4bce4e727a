"""A chip around an Ethos-U85-512 with DRAM, after Arm's own example for Vela; no product in particular."""

from tfmo_drive.boards.board import Board
from tfmo_drive.targets.ethos_u import EthosU

BOARD = Board(
    title="Ethos-U85-512 with DRAM",
    target=EthosU(accelerator="ethos-u85-512", memory="Dedicated_Sram_384KB"),
    flash_bytes=64 * 2**20,
    ram_bytes=393_216,
    clock_hz=1_000_000_000,
    channel_multiple=16,
    sources={
        "flash_bytes": "assumed: such chips boot from external flash of 32 MB and more",
        "ram_bytes": "the NPU's own SRAM, Memory_Mode.Dedicated_Sram_384KB in Vela's Arm/vela.ini",
        "clock_hz": "Ethos_U85_SYS_DRAM_Mid in Vela's Arm/vela.ini",
        "channel_multiple": "assumed, twice that of the Ethos-U55",
    },
    microcontroller=True,
)
