"""NVML: the real module on a machine without a driver, and the rest on a stand-in with its signatures."""

import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pynvml
import pytest
from msgspec import structs

from capsedge.measure.machine import conditions, gpu_energy_mj, here, jetson, nvml, this_machine
from capsedge.measure.machine.nvml import Nvml
from tests.measure.machine.fake_nvml import FakeNvml

READINGS = ("clock_mhz", "memory_clock_mhz", "temperature_c", "power_w", "energy_mj", "throttling")
no_driver = pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="there is a driver here")

Install = Callable[..., FakeNvml]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No test finds the NVML of another."""
    nvml.nvml.cache_clear()
    yield
    nvml.nvml.cache_clear()


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a stand-in in pynvml's place, on a machine with a driver where CUDA tells no place of its device."""

    def put(place: str = "", refused: set[str] | None = None, reasons: int = 0) -> FakeNvml:
        fake = FakeNvml(refused, reasons)
        monkeypatch.setitem(sys.modules, "pynvml", fake)
        monkeypatch.setattr(nvml, "driver_may_be_here", lambda: True)
        monkeypatch.setattr(nvml, "_place", lambda: place)
        return fake

    return put


def test_the_stand_in_has_the_real_module_s_signatures() -> None:
    functions = {name: function for name, function in vars(FakeNvml).items() if name.startswith("nvml")}
    assert len(functions) > 15
    for name, function in functions.items():
        _, *parameters = inspect.signature(function).parameters
        assert parameters == list(inspect.signature(getattr(pynvml, name)).parameters), name


@no_driver
def test_the_real_module_says_that_there_is_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(pynvml.NVMLError_LibraryNotFound):
        Nvml(pynvml)

    monkeypatch.setattr(nvml, "driver_may_be_here", lambda: True)
    assert nvml.nvml() is None
    assert gpu_energy_mj() == "unavailable"


def test_without_a_driver_the_module_is_not_even_asked(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = install()
    monkeypatch.setattr(nvml, "driver_may_be_here", lambda: False)

    assert (this_machine().gpu, conditions().gpu_mhz, gpu_energy_mj()) == (None, "unavailable", "unavailable")
    assert fake.asked == []


def test_without_the_module_everything_is_unavailable(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install()
    monkeypatch.setitem(sys.modules, "pynvml", None)

    assert (here.gpu(), conditions().gpu_power_w) == (None, "unavailable")


def test_the_gpu_is_described(install: Install) -> None:
    install()
    gpu = this_machine().gpu

    assert gpu is not None
    assert (gpu.name, gpu.target, gpu.driver, gpu.cuda) == ("NVIDIA GPU 0", "sm120", "580.65.06", "13.1")
    assert gpu.memory_mb == 12282


def test_the_readings_have_our_units(install: Install) -> None:
    install()
    now = conditions()

    assert (now.gpu_mhz, now.gpu_memory_mhz, now.gpu_temperature_c) == (2475, 10501, 63)
    assert now.gpu_power_w == 187.3
    assert gpu_energy_mj() == 987_654_321
    assert now.gpu_throttling == ()


def test_nvml_is_started_once_for_many_readings(install: Install) -> None:
    fake = install()

    for _ in range(3):
        conditions()
        gpu_energy_mj()
    assert fake.asked.count("nvmlInit") == 1


def test_what_is_refused_is_unavailable_and_the_rest_is_read(install: Install) -> None:
    install(refused={"nvmlDeviceGetPowerUsage", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetTotalEnergyConsumption"})
    machine, now = this_machine(), conditions()

    assert machine.gpu is not None
    assert (machine.gpu.memory_mb, now.gpu_power_w, gpu_energy_mj()) == ("unavailable",) * 3
    assert (machine.gpu.name, now.gpu_mhz) == ("NVIDIA GPU 0", 2475)


def test_a_jetson_that_refuses_everything_has_no_reading(install: Install) -> None:
    kept = {"nvmlInit", "nvmlDeviceGetHandleByIndex"}
    fake = install(refused={name for name in vars(FakeNvml) if name.startswith("nvml")} - kept)
    library = nvml.nvml()

    assert library is not None
    assert {getattr(library, reading)() for reading in READINGS} == {"unavailable"}
    assert set(structs.astuple(library.gpu())) == {"unavailable"}
    assert len(fake.asked) > len(READINGS)


def test_a_jetson_s_kernel_goes_before_nvml_where_it_tells(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install()
    monkeypatch.setattr(jetson, "is_jetson", lambda: True)
    monkeypatch.setattr(jetson, "clock_mhz", lambda: 1020.0)
    now = conditions()

    assert now.gpu_mhz == 1020.0
    assert (now.gpu_temperature_c, now.gpu_power_w) == (63, 187.3)


def test_a_reading_of_zero_is_unavailable(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = install()
    monkeypatch.setattr(fake, "nvmlDeviceGetClockInfo", lambda handle, type: 0)
    monkeypatch.setattr(fake, "nvmlDeviceGetPowerUsage", lambda handle: 0)

    assert (conditions().gpu_mhz, conditions().gpu_power_w) == ("unavailable", "unavailable")


# The bits as nvml.h has them.
@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (0x0, ()),
        (0x1, ()),  # idle
        (0x2 | 0x100, ()),  # clocks that somebody set
        (0x4, ("power limit",)),
        (0x20 | 0x8, ("hardware slowdown", "temperature")),
        (0x1 | 0x40, ("temperature (hardware)",)),
        (0x80 | 0x10, ("slowest GPU of its group", "power brake")),
    ],
)
@pytest.mark.parametrize("newer", [True, False])
def test_reasons_for_throttling_are_words(install: Install, bits: int, words: tuple[str, ...], newer: bool) -> None:
    install(refused=set() if newer else {"nvmlDeviceGetCurrentClocksEventReasons"}, reasons=bits)

    assert conditions().gpu_throttling == words


@pytest.mark.parametrize(
    ("place", "visible", "name"),
    [
        ("0000:41:00.0", None, "NVIDIA GPU 1"),  # CUDA's first is not NVML's
        ("0000:41:00.0", "0", "NVIDIA GPU 1"),
        ("0000:00:00.0", None, "NVIDIA GPU 0"),  # a place that NVML does not know, as on a Jetson
        ("", "1", "NVIDIA GPU 1"),
        ("", "1,0", "NVIDIA GPU 1"),
        ("", "GPU-bbbb", "NVIDIA GPU 1"),
        ("", "", None),
        ("", "-1", None),
        ("", "7", None),
        ("", "GPU-cccc", None),
    ],
)
def test_the_device_is_the_one_that_cuda_uses(
    install: Install, monkeypatch: pytest.MonkeyPatch, place: str, visible: str | None, name: str | None
) -> None:
    install(place)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpu = here.gpu()

    assert (gpu and gpu.name) == name


def test_cuda_python_tells_the_place_as_bytes_with_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Cuda:
        def cudaDeviceGetPCIBusId(self, length: int, device: int) -> tuple[int, bytes]:  # noqa: N802 - CUDA's name
            assert (length, device) == (13, 0)
            return 0, b"0000:01:00.0\0"

    monkeypatch.setattr(nvml, "load_cuda", Cuda)
    assert nvml._place() == "0000:01:00.0"


@no_driver
def test_the_real_cuda_python_has_that_function_and_no_device() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime")

    assert runtime.cudaDeviceGetPCIBusId.__doc__.startswith("cudaDeviceGetPCIBusId(int length, int device)")
    assert nvml._place() == ""
