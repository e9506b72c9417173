"""TensorRT-RTX as a plugin of ONNX Runtime: a module of its name stands for the wheel, and the CPU for its GPU."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest

from capsedge.errors import ProviderError
from capsedge.runtime.open import open_session
from capsedge.runtime.ort import placement
from capsedge.runtime.ort.plugin import MODULE, devices_of_plugin
from capsedge.runtime.settings import Settings

takes_plugins = pytest.mark.skipif(
    not hasattr(onnxruntime, "get_ep_devices"), reason="this ONNX Runtime takes no plugins"
)

CPU = "CPUExecutionProvider"
RTX = "NvTensorRTRTXExecutionProvider"


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a module with the functions that the wheel's has; its library is no library."""
    library = tmp_path / "libonnxruntime_providers_nv_tensorrt_rtx.so"
    library.write_bytes(b"no library")
    (tmp_path / f"{MODULE}.py").write_text(
        f"def get_ep_name(): return {RTX!r}\ndef get_library_path(): return {str(library)!r}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, MODULE, None)  # so that the import of this test is undone
    monkeypatch.delitem(sys.modules, MODULE)
    return library


def onnxruntime_with(*devices: str, says: str = "") -> tuple[Any, list[tuple[str, str]]]:
    """A module onnxruntime that finds devices of these providers, and what was registered with it."""
    registered: list[tuple[str, str]] = []

    def register(name: str, library: str) -> None:
        registered.append((name, library))
        if says:
            raise RuntimeError(says)

    found = [SimpleNamespace(ep_name=name) for name in devices]
    module = SimpleNamespace(
        __version__="1.31.1", register_execution_provider_library=register, get_ep_devices=lambda: found
    )
    return module, registered


@pytest.mark.skipif(RTX in onnxruntime.get_available_providers(), reason="this wheel brings it itself")
def test_without_the_plugin_its_wheel_is_named(good: Path) -> None:
    with pytest.raises(
        ProviderError,
        match=r"'tensorrt-rtx' was asked for, but .* brings only .*: pip install onnxruntime-ep-nv-tensorrt-rtx "
        r"\(for Linux on x86-64 and for Windows; it needs ONNX Runtime 1\.24 or later\)$",
    ):
        open_session(good, Settings(provider="tensorrt-rtx"))


@takes_plugins
@pytest.mark.usefixtures("plugin")
def test_a_plugin_that_does_not_load_is_told_in_onnxruntimes_words(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The real ONNX Runtime, and a file that is no library."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(
        ProviderError, match=r"its plugin does not load \(.*(file too short|invalid ELF).*\): it needs"
    ):
        open_session(good, Settings(provider="tensorrt-rtx"))
    assert capfd.readouterr() == ("", "")


def test_the_devices_are_those_of_the_plugin(plugin: Path) -> None:
    ort, registered = onnxruntime_with(CPU, RTX, RTX)
    assert [device.ep_name for device in devices_of_plugin(ort)] == [RTX, RTX]
    assert registered == [(RTX, str(plugin))]


@pytest.mark.usefixtures("plugin")
def test_a_plugin_that_was_registered_before_is_used() -> None:
    ort, _ = onnxruntime_with(RTX, says=f"library {RTX} is already registered")
    assert len(devices_of_plugin(ort)) == 1


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("says", "line"),
    [
        (  # ONNX Runtime 1.31.1 about plugin 0.5.0 on a machine without a GPU
            "[ONNXRuntimeError] : 1 : FAIL : Failed to load library /lib/libx.so with error: libcuda.so.1: cannot "
            "open shared object file: No such file or directory",
            r"does not load \(libcuda\.so\.1: cannot open .*\): it needs an NVIDIA GPU",
        ),
        ("", r"finds no GPU .* capability 8\.6, 8\.9, or 12\.0 and later"),
    ],
)
def test_a_missing_driver_and_a_gpu_that_is_too_old_or_none_are_told(says: str, line: str) -> None:
    ort, _ = onnxruntime_with(CPU, says=says)
    with pytest.raises(ProviderError, match=line):
        devices_of_plugin(ort)


@pytest.mark.usefixtures("plugin")
def test_an_onnxruntime_without_plugins_is_told_to_be_newer() -> None:
    with pytest.raises(
        ProviderError,
        match=r"ONNX Runtime 1\.22\.0 does not support plugins: pip install .* 1\.24 or later",
    ):
        devices_of_plugin(SimpleNamespace(__version__="1.22.0"))


@takes_plugins
@pytest.mark.parametrize("may_fall_back", [False, True])
@pytest.mark.usefixtures("plugin")
def test_a_session_is_opened_on_the_plugins_devices_and_keeps_its_kernels(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, may_fall_back: bool
) -> None:
    """Options as ONNX Runtime gives them, which take a device of the CPU's for one of the plugin's."""
    given: list[tuple[Any, dict[str, str]]] = []
    opened: list[tuple[Any, dict[str, Any]]] = []
    real, (device,) = onnxruntime.InferenceSession, onnxruntime.get_ep_devices()[:1]

    class Options(onnxruntime.SessionOptions):  # type: ignore[misc]
        def add_provider_for_devices(self, devices: Any, options: dict[str, str]) -> None:
            given.append((devices, options))
            super().add_provider_for_devices([device], {})

    def session(path: str, options: Options, **keywords: Any) -> Any:
        strict = options.get_session_config_entry("session.disable_cpu_ep_fallback") if not may_fall_back else "0"
        opened.append((strict, keywords))
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "0")
        return real(path, options, **keywords)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(placement.ORT_NAMES, "tensorrt-rtx", CPU)
    monkeypatch.setattr("capsedge.runtime.ort.plugin.devices_of_plugin", lambda ort: ["the plugin's device"])
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["AzureExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "SessionOptions", Options)
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    settings = Settings(provider="tensorrt-rtx", allow_fallback=may_fall_back, io_binding=False)
    if may_fall_back:
        with open_session(good, settings) as found:
            assert found.provider == CPU
    else:  # the CPU, which stands for the plugin here, is what the strict session must not use
        with pytest.raises(ProviderError, match="would run on the CPU"):
            open_session(good, settings)

    cache = tmp_path / "capsedge" / "tensorrt-rtx"
    assert given[0] == (["the plugin's device"], {"nv_runtime_cache_path": str(cache)})
    assert cache.is_dir()
    assert opened[0] == ("0" if may_fall_back else "1", {"enable_fallback": 0})


def test_a_cache_that_cannot_be_made_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from capsedge.runtime.ort.options import provider_chain

    (tmp_path / "capsedge").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert provider_chain("tensorrt-rtx", None) == [(RTX, {})]
