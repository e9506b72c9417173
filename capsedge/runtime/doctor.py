"""What this machine can run, proved by running it; nothing is installed, and nothing leaves the machine."""

from collections.abc import Callable
from importlib import import_module, metadata
from typing import Literal

import msgspec

from capsedge.errors import CapsedgeError, MissingExtra, ProviderError
from capsedge.runtime.cuda import first_device, load_cuda
from capsedge.runtime.machine import Machine, this_machine
from capsedge.runtime.models import find_model
from capsedge.runtime.open import open_session
from capsedge.runtime.placement import ORT_NAMES
from capsedge.runtime.providers import Provider
from capsedge.runtime.verify import verify
from capsedge.runtime.wheels import installed_wheels, load_onnxruntime

State = Literal["works", "installed", "missing", "broken"]


class Finding(msgspec.Struct, frozen=True):
    """What was found about one thing that capsedge can use.

    Attributes:
        subject: The thing.
        state: `works` was proved by using it; `installed` is here and was not used; `missing` is not here; `broken`
            is here and must be mended.
        detail: What was seen.
        advice: What to install or do, or "".
    """

    subject: str
    state: State
    detail: str
    advice: str = ""


class Diagnosis(msgspec.Struct, frozen=True):
    """Everything that was found.

    Attributes:
        machine: The machine.
        findings: One record for each thing.
    """

    machine: Machine
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps capsedge from running a model here, or is broken."""
        broken = [finding.subject for finding in self.findings if finding.state == "broken"]
        runs = any(finding.state == "works" for finding in self.findings if finding.subject in _SUBJECTS.values())
        return tuple(broken) if runs or broken else ("no provider runs a model",)


_SUBJECTS: dict[Provider, str] = {"cpu": "CPU", "cuda": "CUDA", "tensorrt": "TensorRT in ONNX Runtime"}


def diagnose() -> Diagnosis:
    """Look at everything that capsedge can use, once."""
    findings = [
        _onnxruntime(),
        *(_provider(provider, subject) for provider, subject in _SUBJECTS.items()),
        _cuda_device(),
        _tensorrt("tensorrt_rtx", "TensorRT-RTX", "pip install 'capsedge[trt]' builds engines, also without a GPU"),
        _tensorrt("tensorrt", "TensorRT", "comes with JetPack on a Jetson, or from NVIDIA's package index"),
        _torch(),
    ]
    return Diagnosis(this_machine(), tuple(findings))


def _onnxruntime() -> Finding:
    subject, wheels = "ONNX Runtime", installed_wheels()
    try:
        version = load_onnxruntime().__version__
    except MissingExtra as error:
        return Finding(subject, "missing", str(error))
    except ProviderError as error:
        return Finding(subject, "broken", str(error))
    return Finding(subject, "installed", f"{next(iter(wheels), 'built from source,')} {version}")


def _provider(provider: Provider, subject: str) -> Finding:
    """Prove a provider by replaying the built-in model's golden sample on it."""
    try:
        offered = load_onnxruntime().get_available_providers()
    except CapsedgeError:
        return Finding(subject, "missing", "needs a working ONNX Runtime")
    if ORT_NAMES[provider] not in offered:
        return Finding(subject, "missing", "not in the installed ONNX Runtime", _GPU_WHEEL)
    return _tried(subject, lambda: _golden_sample(provider))


_GPU_WHEEL = "pip uninstall -y onnxruntime, then pip install 'capsedge[gpu]'"


def _golden_sample(provider: Provider) -> str:
    with open_session(find_model(), provider=provider) as session:
        found = verify(session)
    if not found.ok:
        raise CapsedgeError(f"{found.model} on {found.provider}: {'; '.join(found.problems)}")
    return f"{found.model} gives the golden lengths of {found.images} images, to {found.largest_difference:.1g}"


def _cuda_device() -> Finding:
    def device() -> str:
        name, target = first_device(load_cuda())
        return f"{name} ({target})"

    return _tried("NVIDIA GPU", device)


def _tensorrt(package: str, subject: str, advice: str) -> Finding:
    try:
        version = import_module(package).__version__
    except ModuleNotFoundError:
        return Finding(subject, "missing", f"the Python package '{package}' is not installed", advice)
    except Exception as error:  # a package whose libraries are missing fails in its own way
        reason = " ".join(str(error).split())[:200]
        return Finding(subject, "broken", f"'{package}' does not load: {reason}", advice)
    return Finding(subject, "installed", f"{package} {version} loads")


def _torch() -> Finding:
    """Look torch up without importing it, which takes a second."""
    try:
        return Finding("PyTorch", "installed", f"torch {metadata.version('torch')}")
    except metadata.PackageNotFoundError:
        return Finding("PyTorch", "missing", "needed to train and export only", "pip install 'capsedge[train]'")


def _tried(subject: str, attempt: Callable[[], str]) -> Finding:
    """Run a proof; where it fails, the error says what is wrong and what to do."""
    try:
        return Finding(subject, "works", attempt())
    except (ProviderError, MissingExtra) as error:
        return Finding(subject, "missing", str(error))
    except CapsedgeError as error:
        return Finding(subject, "broken", str(error))
