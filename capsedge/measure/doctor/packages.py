"""What is found about Python packages that some commands need; they are looked up, and not imported."""

from importlib import metadata
from typing import NamedTuple

from capsedge.measure.doctor.findings import Finding


class Optional(NamedTuple):
    """A package that capsedge can do without.

    Attributes:
        subject: What the finding calls it.
        wheel: Its name in the package index.
        use: What it is for.
        extra: The extra that brings it; "" where that brings a second ONNX Runtime, and the wheel is named instead.
        for_gpu: Whether it is of no use without an NVIDIA GPU.
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
    what = f"'capsedge[{package.extra}]'" if package.extra else package.wheel
    advice = f"pip install {what}" if gpu or not package.for_gpu else ""
    return Finding(package.subject, "missing", f"not installed: it {package.use}", advice, code="not-installed")


def version_of(wheel: str) -> str:
    """The release of an installed package, or ""."""
    try:
        return metadata.version(wheel)
    except metadata.PackageNotFoundError:
        return ""
