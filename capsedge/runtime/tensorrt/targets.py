"""The types that each GPU computes, and the GPUs that run an engine; a target is a compute capability as `sm86`."""

import platform
import re
import shlex
from collections.abc import Iterable, Sequence

from capsedge.contract import EngineManifest, Layer, Precision
from capsedge.errors import WrongUse, refuse_text
from capsedge.runtime.tensorrt.cuda import Device

OLDEST_DEFAULT = "sm80"
"""The oldest GPU that TensorRT-RTX builds for by default (its documentation)."""

# Found by building convolutions and products in each type with TensorRT-RTX 1.7.1, for sm75, sm80, sm86, sm89, sm120.
# On sm75 fp32 fails for matrix products only, also for those of dequantized int8 with an fp32 result.
_SINCE = {"bf16": 80, "fp8": 89}
_FP32_PRODUCTS_SINCE = 80  # TensorRT-RTX only: classic TensorRT computes fp32 on Turing

# Input and output type of a matrix product, which every capsule network has, in each precision.
_PRODUCTS: dict[Precision, tuple[str, str]] = {
    "fp32": ("fp32", "fp32"),
    "fp16": ("fp16", "fp16"),
    "bf16": ("bf16", "bf16"),
    "int8": ("int8", "fp32"),
    "int8+fp16": ("int8", "fp16"),
    "fp8": ("fp8", "fp32"),
}


def names_in(text: str | None) -> tuple[str, ...]:
    """The targets in the text of an option, separated by commas; none for None."""
    return () if text is None else tuple(part.strip() for part in text.split(","))


def check_names(targets: Iterable[str]) -> None:
    """Refuse names that are not targets.

    Raises:
        WrongUse: A name is not a target.
    """
    refuse_text(targets, "targets")
    for target in targets:
        if not re.fullmatch(r"sm\d{2,3}", target):
            raise WrongUse(f"target: expected a compute capability such as sm86, got '{target}'")


def check_batch(batch: tuple[int, int, int]) -> None:
    """Refuse batches of an engine that do not rise.

    Args:
        batch: Smallest, optimal and largest.

    Raises:
        WrongUse: One is below 1 or below the one before it.
    """
    smallest, optimal, largest = batch
    if not 1 <= smallest <= optimal <= largest:
        raise WrongUse(f"batch: expected smallest, optimal and largest in rising order from 1, got {batch}")


def capability(target: str) -> int:
    """The number of a target, which grows with the architectures: 86 for `sm86`, 120 for `sm120`."""
    return int(target.removeprefix("sm"))


def takes(target: str, package: str) -> tuple[Precision, ...]:
    """The precisions of a capsule network that a GPU computes.

    Args:
        target: Such as `sm86`.
        package: `tensorrt_rtx` or `tensorrt`.
    """
    products = {kind: _product(*types) for kind, types in _PRODUCTS.items()}
    return tuple(kind for kind, layer in products.items() if not _lacks(layer, target, package))


def unable(layers: Iterable[Layer], target: str, package: str) -> str:
    """Say in one clause why a GPU cannot compute some layers; "" where it computes all of them.

    Args:
        layers: Such as `Contract.layers`.
        target: Such as `sm86`.
        package: `tensorrt_rtx` or `tensorrt`.
    """
    lacking = [(layer, kind) for layer in layers if (kind := _lacks(layer, target, package))]
    if not lacking:
        return ""
    first, kind = lacking[0]
    who = f"'{first.name}' needs" if len(lacking) == 1 else f"'{first.name}' and {len(lacking) - 1} more need"
    what = "matrix products with an fp32 result" if kind == "fp32" else kind
    since = _SINCE.get(kind, _FP32_PRODUCTS_SINCE)
    return f"{who} {what}, which {target} cannot compute (sm{since} and later can)"


def obstacle(manifest: EngineManifest, device: Device) -> tuple[str, str] | None:
    """Say why an engine does not run on this machine's GPU, and how to rebuild it; None where it may run.

    Engines of TensorRT-RTX run on the targets that they were built for, by default on 8.0 and all later ones, on
    Windows and Linux. Those of classic TensorRT run on the platform and compute capability that they were built on,
    or, where they are hardware compatible, on all GPUs from Ampere (8.0) on. Both from NVIDIA's documentation.
    """
    package, target = manifest.package, device.target
    misplaced = _rtx_misplaced if package == "tensorrt_rtx" else _classic_misplaced
    reason = misplaced(manifest, device) or unable(manifest.contract.layers, target, package)
    if not reason:
        return None
    able = takes(target, package)
    precision = manifest.contract.precision
    fitting = precision if precision in able else able[0]
    return reason, f"build it again with: {rebuild(manifest, target, fitting)}"


def rebuild(manifest: EngineManifest, target: str = "", precision: str = "") -> str:
    """The command that rebuilds an engine from its run.

    Args:
        manifest: Manifest of the engine.
        target: An additional GPU for the new engine; "" for none.
        precision: Precision of the new engine; "" for that of the old one.
    """
    words = ["capsedge", "export", f"runs/{manifest.contract.name}", "--trt"]
    words += ["--precision", precision or manifest.contract.precision]
    if manifest.package == "tensorrt_rtx":
        default = not manifest.targets and (not target or capability(target) >= capability(OLDEST_DEFAULT))
        targets = () if default else dict.fromkeys((*manifest.targets, *([target] if target else [])))
        words += ["--trt-target", ",".join(targets)] if targets else []
    words += ["--trt-batch", ",".join(map(str, manifest.batch))]
    words += ["--trt-workspace", str(manifest.workspace_mb)] if manifest.workspace_mb is not None else []
    words += ["--trt-hardware-compatible"] if manifest.hardware_compatible else []
    return shlex.join(words)


def platform_here() -> str:
    """Operating system and architecture of this machine, such as `Linux x86_64`."""
    return f"{platform.system()} {platform.machine()}"


def listed(words: Sequence[str], last: str = "or") -> str:
    """Words as an enumeration in a sentence: `a, b or c`."""
    return f" {last} ".join(", ".join(words).rsplit(", ", 1))


def _rtx_misplaced(manifest: EngineManifest, device: Device) -> str:
    """Clause that an engine of TensorRT-RTX was built for other GPUs than this one, or ""."""
    default = f"{OLDEST_DEFAULT} and later" if not manifest.targets else listed(manifest.targets, "and")
    fits = device.target in manifest.targets if manifest.targets else _is_ampere_or_later(device)
    return "" if fits else f"it was built for {default}, and {device.name} is {device.target}"


def _classic_misplaced(manifest: EngineManifest, device: Device) -> str:
    """Clause that an engine of classic TensorRT was built for another platform or GPU than this one, or ""."""
    if manifest.platform not in ("", platform_here()):
        return f"it was built on {manifest.platform} and runs only there; this machine is {platform_here()}"
    if manifest.hardware_compatible:
        return (
            "" if _is_ampere_or_later(device) else f"it runs on sm80 and later, and {device.name} is {device.target}"
        )
    if not manifest.targets or device.target in manifest.targets:
        return ""
    builder = f"{manifest.gpu or 'a GPU'} ({listed(manifest.targets, 'and')})"
    return f"it was built on {builder} and runs only on GPUs of that kind, and {device.name} is {device.target}"


def _is_ampere_or_later(device: Device) -> bool:
    """Whether a GPU has NVIDIA's Ampere architecture or a later one."""
    return capability(device.target) >= capability(OLDEST_DEFAULT)


def _lacks(layer: Layer, target: str, package: str) -> str:
    """The type that a layer needs and a GPU lacks, or ""."""
    level = capability(target)
    for kind in (layer.type, layer.output):
        if level < _SINCE.get(kind, 0):
            return kind
    product = layer.op in ("Gemm", "MatMul") and layer.output == "fp32"
    return "fp32" if product and package == "tensorrt_rtx" and level < _FP32_PRODUCTS_SINCE else ""


def _product(kind: str, result: str) -> Layer:
    return Layer(name="", op="MatMul", type=kind, output=result, flops=0, parameters=0)
