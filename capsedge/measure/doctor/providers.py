"""Findings about ONNX Runtime: its wheel, and each provider, by running one node and then a network on it."""

import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from capsedge.errors import CapsedgeError, MissingExtra, ProviderError
from capsedge.measure.doctor import libraries
from capsedge.measure.doctor.findings import SUBJECTS, Finding
from capsedge.measure.doctor.packages import version_of
from capsedge.measure.doctor.presence import Presence
from capsedge.onnx_lite.file import REINSTALL
from capsedge.runtime.inspection import inspect_model
from capsedge.runtime.models import BUILTIN_NAME, find_model
from capsedge.runtime.one_node import run_one_node
from capsedge.runtime.open import open_session
from capsedge.runtime.ort import plugin
from capsedge.runtime.ort.options import kernels_in
from capsedge.runtime.ort.placement import absent
from capsedge.runtime.ort.wheels import load_onnxruntime, wheels_text
from capsedge.runtime.providers import OrtProvider, Provider
from capsedge.runtime.settings import Settings
from capsedge.runtime.verify import verify

_ON_JETSON = "install NVIDIA's onnxruntime-gpu for this JetPack (pypi.jetson-ai-lab.io)"


def find_onnxruntime() -> Finding:
    """Load ONNX Runtime."""
    subject = "ONNX Runtime"
    try:
        load_onnxruntime()
    except MissingExtra as error:
        return Finding(subject, "missing", error.text, error.advice, code=error.code)
    except ProviderError as error:
        return Finding(subject, "broken", error.text, error.advice, code=error.code)
    cuda = cuda_of_onnxruntime()
    return Finding(subject, "installed", f"{wheels_text()}{f', for CUDA {cuda}' if cuda else ''}")


def find_provider(provider: OrtProvider, presence: Presence) -> Finding:
    """Test a provider: first with one node, then with the built-in model's golden sample."""
    found = partial(Finding, SUBJECTS[provider], provider=provider)
    try:
        ort = load_onnxruntime()
    except CapsedgeError:
        return found("missing", "needs a working ONNX Runtime", code="no-onnxruntime")
    if advice := absent(ort, provider):
        wheel = _wheel_for(provider, presence, advice)
        return found("missing", "not in the installed ONNX Runtime", wheel, code="not-in-onnxruntime")
    try:
        run_one_node(Settings(provider=provider))
    except (MissingExtra, ProviderError) as error:
        return _does_not_start(ort, provider, presence, error)
    except CapsedgeError as error:
        return found("broken", str(error), code=error.code)
    try:
        return found("works", f"runs a node; {_golden_sample(provider)}")
    except CapsedgeError as error:
        wrong = f"runs a node, but not the built-in network: {error.text}"
        return found("broken", wrong, _about_our_model() or error.advice, code=error.code)


def find_openvino() -> Finding:
    """Test OpenVINO: first with one node, then with the built-in model's golden sample."""
    found = partial(Finding, SUBJECTS["openvino"], provider="openvino")
    try:
        run_one_node(Settings(provider="openvino"))
    except MissingExtra as error:
        return found("missing", "not installed: it runs ONNX files on CPUs", error.advice, code=error.code)
    except CapsedgeError as error:
        return found("broken", error.text, error.advice, code=error.code)
    release = f"openvino {version_of('openvino')}"
    try:
        return found("works", f"{release}: runs a node; {_golden_sample('openvino')}")
    except CapsedgeError as error:
        wrong = f"{release}: runs a node, but not the built-in network: {error.text}"
        return found("broken", wrong, _about_our_model() or error.advice, code=error.code)


def cuda_of_onnxruntime() -> str:
    """The CUDA release that the installed ONNX Runtime was built for, such as `13.0`; "" where it names none."""
    try:
        load_onnxruntime()
        from onnxruntime.capi import build_and_package_info
    except (CapsedgeError, ImportError):
        return ""
    return str(getattr(build_and_package_info, "cuda_version", ""))


def _wheel_for(provider: OrtProvider, presence: Presence, advice: str) -> str:
    """How to install a provider; "" where there is no GPU for it."""
    if presence.place == "jetson":
        return "" if provider == "tensorrt-rtx" else _ON_JETSON
    return advice if presence.hardware else ""


def _golden_sample(provider: Provider) -> str:
    with (
        tempfile.TemporaryDirectory(prefix="capsedge-", ignore_cleanup_errors=True) as folder,
        kernels_in(Path(folder)),
        open_session(find_model(BUILTIN_NAME), Settings(provider=provider)) as session,
    ):
        found = verify(session)
    if not found.ok:
        problems = "; ".join(found.problems)
        raise CapsedgeError(f"{found.model} on {found.provider}: {problems}", code="golden-sample")
    return f"{found.model} gives the golden lengths of {found.images} images, to {found.largest_difference:.1g}"


def _about_our_model() -> str:
    """How to restore the built-in model where its file is damaged, or ""."""
    try:
        damaged = inspect_model().problems
    except CapsedgeError:
        return REINSTALL
    return REINSTALL if damaged else ""


def _library(ort: Any, provider: OrtProvider) -> Path:
    """The shared library of a provider, in ONNX Runtime or in a plugin."""
    spec = find_spec(plugin.MODULE) if provider == "tensorrt-rtx" else None
    origin = ort.__file__ if spec is None or spec.origin is None else spec.origin
    folder = Path(origin).parent / ("capi" if origin == ort.__file__ else "")
    name = "nv_tensorrt_rtx" if provider == "tensorrt-rtx" else provider
    return folder / f"libonnxruntime_providers_{name}.so"


def _does_not_start(ort: Any, provider: OrtProvider, presence: Presence, error: CapsedgeError) -> Finding:
    """The finding for a provider that does not start, for lack of a GPU or of a library."""
    found = partial(Finding, SUBJECTS[provider], provider=provider)
    if not presence.usable:
        return found("missing", "installed, but there is no GPU for it", code="no-gpu")
    if error.code == plugin.GPU_NOT_SUPPORTED:
        return found("missing", str(error), code=error.code)
    lacking = libraries.absent(_library(ort, provider))
    if lacking:
        detail = f"not found: {', '.join(lacking)}"
        return found("broken", detail, libraries.advice(lacking), code="missing-libraries")
    return found("broken", str(error), code=error.code)
