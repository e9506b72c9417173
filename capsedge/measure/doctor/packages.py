"""Findings about optional Python packages; they are looked up, not imported."""

from importlib import metadata
from typing import NamedTuple

from capsedge.errors import install
from capsedge.measure.doctor.findings import Finding


class Optional(NamedTuple):
    """An optional package.

    Attributes:
        subject: Subject of the finding.
        wheel: Its name in the package index.
        use: Its purpose, as a clause with a verb.
        extra: The extra that installs it; "" where that extra would install a second ONNX Runtime, so that the wheel
            is advised instead.
        for_gpu: Whether it is useless without an NVIDIA GPU.
    """

    subject: str
    wheel: str
    use: str
    extra: str = ""
    for_gpu: bool = False


OPTIONAL = (
    Optional("cuda-python", "cuda-python", "runs TensorRT engines", "trt", for_gpu=True),
    Optional("NVML", "nvidia-ml-py", "reads clocks, power and energy of a GPU", for_gpu=True),
    Optional("PyTorch", "torch", "trains and exports", "train"),
    Optional("ONNX", "onnx", "exports", "export"),
    Optional("Matplotlib", "matplotlib", "plots", "plots"),
    Optional("TensorBoard", "tensorboard", "shows a training's curves while it runs", "tensorboard"),
)


def find_package(package: Optional, *, gpu: bool) -> Finding:
    """Look a package up.

    Args:
        package: What to look for.
        gpu: Whether there is an NVIDIA GPU here.
    """
    version = version_of(package.wheel)
    if version:
        return Finding(package.subject, "installed", f"{package.wheel} {version}")
    command = install(package.extra) if package.extra else f"pip install {package.wheel}"
    advice = command if gpu or not package.for_gpu else ""
    return Finding(package.subject, "missing", f"not installed: it {package.use}", advice, code="not-installed")


def version_of(wheel: str) -> str:
    """The release of an installed package, or ""."""
    try:
        return metadata.version(wheel)
    except metadata.PackageNotFoundError:
        return ""
