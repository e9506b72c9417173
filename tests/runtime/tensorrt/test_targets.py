"""Which GPU computes what and runs which engine; tests/export holds the table itself against the real builder."""

import shlex
from pathlib import Path
from typing import Any

import msgspec
import pytest

from capsedge.contract import Contract, EngineManifest, Layer, contract_of
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.runtime.tensorrt.cuda import Device
from capsedge.runtime.tensorrt.targets import obstacle, platform_here, rebuild, takes, unable


def layer(kind: str, result: str, op: str = "Gemm", name: str = "classes") -> Layer:
    return Layer(name=name, op=op, type=kind, output=result, flops=2, parameters=1)


@pytest.fixture
def contract(good: Path) -> Contract:
    read = contract_of(read_onnx_file(good), source=str(good))
    assert read is not None
    return msgspec.structs.replace(read, name="my run")


@pytest.fixture
def manifest(contract: Contract) -> EngineManifest:
    return EngineManifest(
        engine_sha256="ab" * 32,
        package="tensorrt_rtx",
        package_version="1.7.1.116",
        targets=(),
        batch=(1, 4, 16),
        build_seconds=1.0,
        size_bytes=1,
        precision={},
        contract=contract,
    )


def changed(manifest: EngineManifest, **fields: Any) -> EngineManifest:
    return msgspec.structs.replace(manifest, **fields)


def on(target: str) -> Device:
    return Device("a GPU", target)


@pytest.mark.parametrize(
    ("target", "package", "precisions"),
    [
        ("sm75", "tensorrt_rtx", {"fp16", "int8+fp16"}),
        ("sm75", "tensorrt", {"fp32", "fp16", "int8", "int8+fp16"}),
        ("sm80", "tensorrt_rtx", {"fp32", "fp16", "bf16", "int8", "int8+fp16"}),
        ("sm87", "tensorrt", {"fp32", "fp16", "bf16", "int8", "int8+fp16"}),
        ("sm89", "tensorrt_rtx", {"fp32", "fp16", "bf16", "int8", "int8+fp16", "fp8"}),
        ("sm120", "tensorrt_rtx", {"fp32", "fp16", "bf16", "int8", "int8+fp16", "fp8"}),
    ],
)
def test_each_architecture_takes_its_precisions(target: str, package: str, precisions: set[str]) -> None:
    assert set(takes(target, package)) == precisions


@pytest.mark.parametrize(
    ("layers", "target", "reason"),
    [
        (
            [layer("int8", "fp32")],
            "sm75",
            "'classes' needs matrix products with an fp32 result, which sm75 cannot compute (sm80 and later can)",
        ),
        (
            [layer("fp8", "fp32", "Conv", "conv1"), layer("fp8", "fp32")],
            "sm86",
            "'conv1' and 1 more need fp8, which sm86 cannot compute (sm89 and later can)",
        ),
        ([layer("int8", "bf16")], "sm75", "'classes' needs bf16, which sm75 cannot compute (sm80 and later can)"),
        ([layer("fp32", "fp32", "Conv")], "sm75", ""),
        ([layer("fp16", "fp16")], "sm75", ""),
        ([], "sm75", ""),
    ],
)
def test_what_a_gpu_cannot_compute_is_named_by_layer(layers: list[Layer], target: str, reason: str) -> None:
    assert unable(layers, target, "tensorrt_rtx") == reason


@pytest.mark.parametrize(
    ("built_for", "target", "runs"),
    [
        ((), "sm80", True),
        ((), "sm90", True),
        ((), "sm121", True),
        ((), "sm75", False),
        (("sm86",), "sm86", True),
        (("sm86", "sm89"), "sm89", True),
        (("sm86",), "sm89", False),
        (("sm86",), "sm80", False),
    ],
)
def test_an_rtx_engine_runs_on_its_targets_and_by_default_from_ampere_on(
    built_for: tuple[str, ...], target: str, runs: bool, manifest: EngineManifest
) -> None:
    assert (obstacle(changed(manifest, targets=built_for), on(target)) is None) is runs


def test_an_rtx_engine_runs_on_every_platform(manifest: EngineManifest) -> None:
    assert obstacle(changed(manifest, platform="Windows AMD64"), on("sm86")) is None


@pytest.mark.parametrize(
    ("fields", "target", "reason"),
    [
        ({"targets": ("sm87",)}, "sm87", ""),
        (
            {"targets": ("sm87",), "gpu": "Orin"},
            "sm86",
            "it was built on Orin (sm87) and runs only on GPUs of that",
        ),
        ({"targets": ("sm86",), "hardware_compatible": True}, "sm120", ""),
        ({"targets": ("sm86",), "hardware_compatible": True}, "sm75", "it runs on sm80 and later"),
        ({"targets": ("sm87",), "platform": "Linux sparc64"}, "sm87", "it was built on Linux sparc64"),
        ({"platform": platform_here()}, "sm75", ""),
        ({"deferred": "trtexec"}, "sm75", ""),
    ],
)
def test_a_classic_engine_runs_on_the_kind_of_machine_that_built_it(
    fields: dict[str, Any], target: str, reason: str, manifest: EngineManifest
) -> None:
    found = obstacle(changed(manifest, package="tensorrt", **fields), on(target))

    assert found[0].startswith(reason) if found else not reason


def test_an_engine_of_fp8_built_by_default_is_refused_where_fp8_cannot_be_computed(manifest: EngineManifest) -> None:
    fp8 = msgspec.structs.replace(manifest.contract, layers=(layer("fp8", "fp16"),))
    engine = changed(manifest, contract=fp8)

    assert obstacle(engine, on("sm89")) is None
    assert obstacle(engine, on("sm86")) == (
        "'classes' needs fp8, which sm86 cannot compute (sm89 and later can)",
        "build it again with: capsedge export 'runs/my run' --trt --precision fp32 --trt-batch 1,4,16",
    )


@pytest.mark.parametrize(
    ("fields", "target", "options"),
    [
        ({}, "sm86", []),
        ({}, "sm75", ["--trt-target", "sm75"]),
        ({"targets": ("sm86",)}, "", ["--trt-target", "sm86"]),
        ({"targets": ("sm86",)}, "sm89", ["--trt-target", "sm86,sm89"]),
        ({"package": "tensorrt", "targets": ("sm86",)}, "sm87", []),
        ({"workspace_mb": 64}, "sm86", ["--trt-workspace", "64"]),
        ({"package": "tensorrt", "hardware_compatible": True}, "sm86", ["--trt-hardware-compatible"]),
    ],
)
def test_the_command_to_rebuild_has_the_options_of_the_engine(
    fields: dict[str, Any], target: str, options: list[str], manifest: EngineManifest
) -> None:
    words = shlex.split(rebuild(changed(manifest, **fields), target))

    assert words[:6] == ["capsedge", "export", "runs/my run", "--trt", "--precision", "fp32"]
    assert [word for word in words[6:] if word not in ("--trt-batch", "1,4,16")] == options


def test_the_platform_is_the_system_and_its_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")

    assert platform_here() == "Linux aarch64"
