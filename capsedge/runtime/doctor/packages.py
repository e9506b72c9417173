"""What is found about Python packages that some commands need; they are looked up, and not imported."""

from importlib import metadata
from typing import NamedTuple

from capsedge.runtime.doctor.findings import Finding


class Optional(NamedTuple):
    """A package that capsedge can do without: what it is for, and the extra that brings it."""

    subject: str
    wheel: str
    use: str
    extra: str


OPTIONAL = (
    Optional("cuda-python", "cuda-python", "runs TensorRT engines", "trt"),
    Optional("NVML", "nvidia-ml-py", "reads clocks, power and energy of a GPU", "gpu"),
    Optional("PyTorch", "torch", "trains and exports", "train"),
    Optional("ONNX", "onnx", "exports", "export"),
    Optional("Matplotlib", "matplotlib", "plots", "plots"),
)


def find_package(package: Optional) -> Finding:
    """Look a package up."""
    version = version_of(package.wheel)
    if version:
        return Finding(package.subject, "installed", f"{package.wheel} {version}")
    return Finding(
        package.subject, "missing", f"not installed: it {package.use}", f"pip install 'capsedge[{package.extra}]'"
    )


def version_of(wheel: str) -> str:
    """The release of an installed package, or ""."""
    try:
        return metadata.version(wheel)
    except metadata.PackageNotFoundError:
        return ""
