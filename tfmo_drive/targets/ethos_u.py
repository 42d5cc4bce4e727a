"""Converts for Arm Ethos-U NPUs: int8, compiled by Vela, whose estimates say what it costs there, since no NPU is here.

Its outputs are those that LiteRT's reference kernels give for the file before it was compiled: Vela is tested to
compute the same integers (the description of the package ethos-u-vela, "TensorFlow Support").
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfmo_drive.base.spelling import suggestion
from tfmo_drive.contracts import Artifact, BadInput
from tfmo_drive.conversion.tflite_target import Int8Target
from tfmo_drive.runtimes import artifact_metadata, vela
from tfmo_drive.runtimes.interpreters import LiteRTArtifact, refuse_threads

if TYPE_CHECKING:
    from tfmo_drive.conversion.freezing import Frozen

SYSTEMS = {
    "ethos-u55": ("Ethos_U55_High_End_Embedded", "Shared_Sram"),
    "ethos-u65": ("Ethos_U65_High_End", "Dedicated_Sram"),
    "ethos-u85": ("Ethos_U85_SYS_DRAM_Mid", "Dedicated_Sram"),
}
"""Arm's own examples of a chip around each NPU (vela.ini): clock, memories and how wide the ways to them are."""
ACCELERATORS = (
    "ethos-u55-32", "ethos-u55-64", "ethos-u55-128", "ethos-u55-256", "ethos-u65-256", "ethos-u65-512", "ethos-u85-128",
    "ethos-u85-256", "ethos-u85-512", "ethos-u85-1024", "ethos-u85-2048",
)  # fmt: skip
COMPILED = "model_vela.tflite"


def system_of(accelerator: str) -> vela.System:
    """Returns Arm's example of a chip around one of ACCELERATORS."""
    return vela.System(accelerator, *SYSTEMS[accelerator.rsplit("-", 1)[0]])


class EthosUArtifact(Artifact):
    """Represents a compiled file, which ships as `path`.

    `source` is the file that it was made from, which runs here.
    """

    def __init__(self, path: Path, source: LiteRTArtifact, accelerator: str) -> None:
        self.path, self._source = path, source
        self.name, self.threads = source.name, source.threads
        self.runtime = f"{accelerator} (evaluated on {source.runtime})"

    @property
    def source(self) -> LiteRTArtifact:
        return self._source

    def predict(self, batch):
        return self.source.predict(batch)

    def runner(self, example, threads=None):
        """Returns None, because what runs here tells nothing of the NPU's speed; `notes` have Vela's estimate."""
        return None

    def weights(self):
        return self.source.weights()

    def macs(self) -> int:
        return self.source.macs()


@dataclasses.dataclass(frozen=True)
class EthosU(Int8Target):
    """Converts to int8 and compiles for an NPU.

    Args:
        accelerator: One of ACCELERATORS, such as "ethos-u55-128".
        system: The section of `configs` with the chip's clock and memories; "" takes Arm's example for the NPU.
        memory: The section of `configs` with the memory mode; "" takes Arm's example for the NPU.
        configs: Vela's own file of configurations, or the path of yours.
        threads: The number of threads of the runtime that evaluates the file here.

    Example:
        >>> import tfmo_drive as td
        >>> td.EthosU(accelerator="ethos-u55-256").name
        'ethos_u55_256'
    """

    accelerator: str = "ethos-u55-128"
    system: str = ""
    memory: str = ""
    configs: str = vela.CONFIGS
    threads: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.accelerator not in ACCELERATORS:
            raise BadInput(f'EthosU.accelerator: no "{self.accelerator}". {suggestion(self.accelerator, ACCELERATORS)}')
        refuse_threads(self)

    @property
    def name(self) -> str:
        """Returns the accelerator's name with underscores, such as "ethos_u55_128"."""
        return self.accelerator.replace("-", "_")

    def trial(self, frozen: Frozen, images: np.ndarray, folder: Path) -> None:
        super().trial(frozen, images, folder)
        vela.compiled(folder / "model.tflite", self._chip)

    @property
    def _chip(self) -> vela.System:
        usual = system_of(self.accelerator)
        chosen = {"system": self.system or usual.system, "memory": self.memory or usual.memory}
        return dataclasses.replace(usual, configs=self.configs, **chosen)

    def _opened(self, path: Path) -> Artifact:
        source = LiteRTArtifact(path, self.name, self.threads, "reference")
        made = vela.compiled(path, self._chip)
        compiled = path.with_name(COMPILED)
        artifact_metadata.save(compiled, made.content, artifact_metadata.read(path) | {"npu": made.facts})
        artifact = EthosUArtifact(compiled, source, self.accelerator)
        artifact.notes = {"npu": made.facts | {"layers": made.layers}}
        return artifact
