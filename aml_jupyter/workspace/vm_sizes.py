"""The machine sizes that v1's programs name, and what each of them has.

Here a size only says how many GPUs a run of it asks for; the rest is what
``AmlCompute.supported_vmsizes`` lists.
"""

from __future__ import annotations

from dataclasses import dataclass

_GPU_FAMILY = "STANDARD_N"

# name without STANDARD_, processors, GPUs, memory in GB, temporary disk in MB
_TABLE = """
D1 1 0 3.5 51200                  D2 2 0 7 102400                    D3 4 0 14 204800
D4 8 0 28 409600                  D11 2 0 14 102400                  D12 4 0 28 204800
D13 8 0 56 409600                 D14 16 0 112 819200                D1_V2 1 0 3.5 51200
D2_V2 2 0 7 102400                D3_V2 4 0 14 204800                D4_V2 8 0 28 409600
D5_V2 16 0 56 819200              D11_V2 2 0 14 102400               D12_V2 4 0 28 204800
D13_V2 8 0 56 409600              D14_V2 16 0 112 819200             D15_V2 20 0 140 1024000
DS1_V2 1 0 3.5 7168               DS2_V2 2 0 7 14336                 DS3_V2 4 0 14 28672
DS4_V2 8 0 28 57344               DS5_V2 16 0 56 114688              DS11_V2 2 0 14 28672
DS12_V2 4 0 28 57344              DS13_V2 8 0 56 114688              DS14_V2 16 0 112 229376
DS15_V2 20 0 140 286720           D2S_V3 2 0 8 16384                 D4S_V3 4 0 16 32768
D8S_V3 8 0 32 65536               D16S_V3 16 0 64 131072             D32S_V3 32 0 128 262144
E2S_V3 2 0 16 32768               E4S_V3 4 0 32 65536                E8S_V3 8 0 64 131072
E16S_V3 16 0 128 262144           E32S_V3 32 0 256 524288            F2S_V2 2 0 4 16384
F4S_V2 4 0 8 32768                F8S_V2 8 0 16 65536                F16S_V2 16 0 32 131072
F32S_V2 32 0 64 262144            F64S_V2 64 0 128 524288            F72S_V2 72 0 144 589824
M64MS 64 0 1792 2097152           M128S 128 0 2048 4194304           M128MS 128 0 3892 4194304
NC6 6 1 56 389120                 NC12 12 2 112 696320               NC24 24 4 224 1474560
NC24R 24 4 224 1474560            NC6S_V2 6 1 112 344064             NC12S_V2 12 2 224 688128
NC24S_V2 24 4 448 1376256         NC24RS_V2 24 4 448 1376256         NC6S_V3 6 1 112 344064
NC12S_V3 12 2 224 688128          NC24S_V3 24 4 448 1376256          NC24RS_V3 24 4 448 1376256
NC4AS_T4_V3 4 1 28 180224         NC8AS_T4_V3 8 1 56 360448          NC16AS_T4_V3 16 1 110 360448
NC64AS_T4_V3 64 4 440 2883584     NC24ADS_A100_V4 24 1 220 65536     NC48ADS_A100_V4 48 2 440 131072
NC96ADS_A100_V4 96 4 880 262144  NC40ADS_H100_V5 40 1 320 131072    NC80ADIS_H100_V5 80 2 640 262144
ND6S 6 1 112 344064               ND12S 12 2 224 688128              ND24S 24 4 448 1376256
ND24RS 24 4 448 1376256           ND40RS_V2 40 8 672 2969600         ND96ASR_V4 96 8 900 6144000
ND96AMSR_A100_V4 96 8 1924 6553600 ND96ISR_H100_V5 96 8 1900 1024000
NV6 6 1 56 389120                 NV12 12 2 112 696320               NV24 24 4 224 1474560
NV12S_V3 12 1 112 344064          NV24S_V3 24 2 224 688128           NV48S_V3 48 4 448 1376256
"""


@dataclass(frozen=True)
class VmSize:
    """A machine size; ``disk`` in MB, ``memory`` in GB."""

    name: str
    cpus: int
    gpus: int
    memory: float
    disk: int

    def to_json(self) -> dict[str, object]:
        """The size with v1's keys."""
        return {
            "name": self.name,
            "vCPUs": self.cpus,
            "gpus": self.gpus,
            "memoryGB": self.memory,
            "maxResourceVolumeMB": self.disk,
        }


def _read() -> dict[str, VmSize]:
    words, sizes = _TABLE.split(), {}
    for at in range(0, len(words), 5):
        name, cpus, gpus, memory, disk = words[at : at + 5]
        size = VmSize(f"STANDARD_{name}", int(cpus), int(gpus), float(memory), int(disk))
        sizes[size.name] = size
    return sizes


SIZES = _read()
"""The sizes by name, in capital letters."""


def gpus_of(name: str) -> int:
    """How many GPUs a machine of that size has; one for a GPU size that is not in the table."""
    known = SIZES.get(name.upper())
    if known is not None:
        return known.gpus
    return int(name.upper().startswith(_GPU_FAMILY))
