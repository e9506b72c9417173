"""The list of steps, in their order: what each tries, and the code that it exercises."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from benchmarks.prove import engines, exports, latency, machine, providers, serving, training
from benchmarks.prove.engines import Package, name_of
from benchmarks.prove.place import Place, Plan
from benchmarks.prove.record import Found
from capsedge.runtime.ort.placement import ORT_NAMES
from capsedge.runtime.providers import Provider

SPECIAL = "fp16"
"""The precision of the engines that are built in a special way: every GPU that TensorRT runs on computes it."""

PACKAGES: tuple[Package, ...] = ("tensorrt_rtx", "tensorrt")


@dataclass(frozen=True)
class Step:
    """Something to try.

    Attributes:
        group: The part of capsedge that it belongs to.
        name: What it tries, on one line.
        path: The code that it exercises, by its dotted name.
        run: Tries it. It gives a finding or several, or raises `Failed` or `NotPossible`.
    """

    group: str
    name: str
    path: str
    run: Callable[[Place], Iterator[Found]]


def all_steps(plan: Plan) -> list[Step]:
    """Every step of a plan."""
    return [*_machine(), *_training(), *_export(plan), *_providers(plan), *_engines(plan), *_rest()]


def _machine() -> list[Step]:
    return [
        Step("machine", "what runs here", "capsedge.measure.doctor.diagnose", machine.doctor),
        Step("machine", "the GPU", "capsedge.runtime.tensorrt.cuda.first_device", machine.gpu),
        Step("machine", "CUDA in torch", "capsedge.training.devices.launch", machine.torch_devices),
    ]


def _training() -> list[Step]:
    group, trainer = "training", "capsedge.training.trainer.Trainer"
    return [
        *(
            Step(group, f"{kind} network on CUDA in {precision}", f"{trainer}.train", _bound(kind, precision))
            for kind in ("small", "full")
            for precision in ("fp32", "bf16")
        ),
        *(
            Step(
                group,
                f"the CPU's first losses on CUDA in {precision}",
                f"{trainer}.iterate",
                partial(training.first_losses, precision=precision),
            )
            for precision in ("fp32", "bf16")
        ),
        Step(group, "no iteration waits for the GPU", f"{trainer}.iterate", training.no_wait),
        Step(group, "tests that need a GPU", "capsedge.training.batches.Batches.epoch", training.gpu_tests),
        Step(group, "two GPUs", "capsedge.training.devices.launch", training.two_gpus),
        Step(group, "the network of all files", "capsedge.training.run.Run", training.network),
        Step(group, "dynamic routing beside it", "capsedge.models.routing.DynamicRouting", training.dynamic),
    ]


def _bound(kind: str, precision: str) -> Callable[[Place], Iterator[Found]]:
    return partial(training.on_cuda, kind=kind, precision=precision)


def _export(plan: Plan) -> list[Step]:
    path = "capsedge.export.road.RunExport.export"
    return [
        *(
            Step("export", "collapsed", path, partial(exports.collapsed, precisions=precisions))
            for precisions in plan.exports
        ),
        Step("export", "with the decoder", "capsedge.export.decoder.LongestDecoder", exports.with_decoder),
        Step("export", "dynamic routing unrolled", path, exports.dynamic),
    ]


def _providers(plan: Plan) -> list[Step]:
    every: tuple[Provider, ...] = tuple(ORT_NAMES)
    return [
        Step(
            "ONNX Runtime",
            f"{label} on {provider}",
            "capsedge.runtime.ort.session.OrtSession.run_raw",
            partial(providers.on_provider, provider=provider, label=label),
        )
        for provider in every
        for label in plan.labels
    ]


def _engines(plan: Plan) -> list[Step]:
    steps = []
    for package in PACKAGES:
        for label in plan.engines:
            steps += _engine(label, package, "", partial(engines.build, label=label, package=package))
    compatible = partial(engines.build_compatible, label=SPECIAL)
    deferred = partial(engines.build_deferred, label=SPECIAL)
    return [
        *steps,
        *_engine(SPECIAL, "tensorrt", "hardware compatible", compatible),
        *_engine(SPECIAL, "tensorrt", "by trtexec", deferred),
    ]


def _engine(label: str, package: Package, kind: str, build: Callable[[Place], Iterator[Found]]) -> list[Step]:
    """An engine is two steps: where there is no GPU, TensorRT-RTX can make the first."""
    name = name_of(label, package, kind)
    made_by = "trtexec.trtexec_line" if kind == "by trtexec" else "worker.work"
    execute = partial(engines.execute, label=label, package=package, kind=kind)
    return [
        Step("TensorRT, building", name, f"capsedge.export.tensorrt.{made_by}", build),
        Step("TensorRT, executing", name, "capsedge.runtime.tensorrt.session.EngineSession.run_raw", execute),
    ]


def _rest() -> list[Step]:
    return [
        Step("latency", "side by side", "capsedge.measure.bench.measure.measure", latency.bench),
        Step("Triton", "repository", "capsedge.export.triton.repository.write_repository", serving.repository),
        Step("Triton", "served", "capsedge.export.triton.config.model_config", serving.serve),
    ]
