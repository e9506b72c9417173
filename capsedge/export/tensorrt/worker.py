"""Worker process that uses TensorRT: it reads a job as JSON from stdin and writes lines of JSON to stdout.

A failed build affects the next build in the same process, so no process builds twice. One code path serves
`tensorrt_rtx` and the classic `tensorrt`; differences between releases are detected by attribute.
capsedge has not run an engine of either package on a GPU yet.

The file is run as a script and imports nothing from capsedge, so that the process starts fast and uses little memory.
The messages between the two processes are therefore defined here.
"""

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import msgspec


class Build(msgspec.Struct, frozen=True, kw_only=True, tag="build"):
    """Build an engine.

    Attributes:
        package: `tensorrt_rtx` or `tensorrt`.
        onnx: The ONNX file, whose graph has the types of the precision.
        engine: Engine file to write.
        batch: Smallest, optimal and largest batch of the optimization profile.
        targets: Compute capabilities such as `sm86`; empty for the builder's default. TensorRT-RTX only.
        workspace_mb: Memory limit for intermediate results, in MiB; None for the builder's default.
        hardware_compatible: Build for all GPUs from Ampere on. Classic TensorRT only.
    """

    package: str
    onnx: str
    engine: str
    batch: tuple[int, int, int]
    targets: tuple[str, ...] = ()
    workspace_mb: int | None = None
    hardware_compatible: bool = False


class Parse(msgspec.Struct, frozen=True, kw_only=True, tag="parse"):
    """Find the nodes of an ONNX file that the parser refuses; nothing is built."""

    package: str
    onnx: str


class Ask(msgspec.Struct, frozen=True, kw_only=True, tag="ask"):
    """Get the release and the targets of a package."""

    package: str


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag="progress"):
    """Progress of one phase of a build; phases are nested, and the outermost is reported first."""

    phase: str
    done: int
    total: int


class Built(msgspec.Struct, frozen=True, kw_only=True, tag="built"):
    """The result of a build.

    Attributes:
        errors: One sentence for each error; empty if the engine was written.
        warnings: Warnings of the parser.
        version: Release of the package.
        seconds: Time of parsing and building.
        precision: Output type of each layer of the parsed network.
        no_builder: Whether nothing can be built here, because the package or a GPU is missing.
    """

    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    version: str = ""
    seconds: float = 0.0
    precision: dict[str, str] = {}
    no_builder: bool = False


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """One node that the parser refuses.

    Attributes:
        node: Position in the graph, or -1 for the whole graph.
        reason: The parser's message, on one line.
        unknown_operator: Whether the reason is that the parser does not have the node's operator.
    """

    node: int
    reason: str
    unknown_operator: bool = False


class Parsed(msgspec.Struct, frozen=True, kw_only=True, tag="parsed"):
    """The result of parsing a file.

    Attributes:
        errors: Reasons why no parser could be used; empty if one was.
        version: Release of the package.
        supported: Whether the parser accepts the whole graph.
        taken: Positions of the nodes that the parser accepts.
        refusals: Nodes that the parser refuses, with a reason.
        warnings: Warnings of the parser.
    """

    errors: tuple[str, ...] = ()
    version: str = ""
    supported: bool = False
    taken: tuple[int, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()


class About(msgspec.Struct, frozen=True, kw_only=True, tag="about"):
    """The release of a package and the targets that can be chosen, none for classic TensorRT."""

    errors: tuple[str, ...] = ()
    version: str = ""
    targets: tuple[str, ...] = ()


Job: TypeAlias = Build | Parse | Ask
Answer: TypeAlias = Built | Parsed | About

Report = Callable[[Progress], bool]
"""Sends a progress message; returns False if the other process has ended."""


def work(job: Job, report: Report = lambda _: True) -> Answer:
    """Run a job; failures are sentences in the answer."""
    try:
        trt: Any = import_module(job.package)
    except (ImportError, OSError) as error:  # OSError: the package is installed, its libraries are missing
        return _impossible(job, "", f"{job.package} does not load here ({_one_line(str(error))})")
    if isinstance(job, Ask):
        return About(version=trt.__version__, targets=_targets(trt))
    log = _log(trt)
    try:
        builder = trt.Builder(log)
    except TypeError:
        # pybind raises this if the native constructor returns null, as in classic TensorRT without CUDA.
        reason = f"{job.package} {trt.__version__} cannot build here: it needs an NVIDIA GPU and its driver"
        return _impossible(job, trt.__version__, reason)
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, log)
    if isinstance(job, Parse):
        return _parse(trt, parser, log, job)
    return _build(trt, builder, network, parser, log, job, report)


def _impossible(job: Job, version: str, reason: str) -> Answer:
    """The answer if the package does not load, or has no builder without a GPU."""
    if isinstance(job, Build):
        return Built(errors=(reason,), version=version, no_builder=True)
    return Parsed(errors=(reason,), version=version) if isinstance(job, Parse) else About(errors=(reason,))


def _targets(trt: Any) -> tuple[str, ...]:
    known = dir(trt.ComputeCapability) if hasattr(trt, "ComputeCapability") else []
    return tuple(sorted((name.lower() for name in known if name.startswith("SM")), key=lambda name: int(name[2:])))


def _network_flags(trt: Any) -> int:
    """The flag for a strongly typed network; its value differs between releases."""
    return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def _parse(trt: Any, parser: Any, log: Any, job: Parse) -> Parsed:
    """Let the parser check every node."""
    supported = parser.supports_model_v2(Path(job.onnx).read_bytes(), job.onnx)
    subgraphs = (parser.get_subgraph_nodes(index) for index in range(parser.num_subgraphs))
    return Parsed(
        version=trt.__version__,
        supported=supported,
        taken=tuple(sorted({node for subgraph in subgraphs for node in subgraph})),
        refusals=tuple(_refusal(parser, error) for error in _parser_errors(parser)),
        warnings=_distinct(log.warnings),
    )


def _refusal(parser: Any, error: Any) -> Refusal:
    operator = error.node_operator()
    unknown = bool(operator) and not parser.supports_operator(operator)
    reason = f"the parser knows no operator '{operator}'" if unknown else _parser_message(error.desc())
    return Refusal(node=error.node(), reason=reason, unknown_operator=unknown)


def _parser_errors(parser: Any) -> list[Any]:
    return [parser.get_error(index) for index in range(parser.num_errors)]


def _parser_message(description: str) -> str:
    """The message of a parser's error without its assertions and source lines."""
    of_tensorrt = re.search(r"Error Code \d+: [\w ]+\((.*?)\. In \S+ at /", description, re.DOTALL)
    assertion = re.search(r"Assertion failed: .*?: (.*)", description, re.DOTALL)
    found = of_tensorrt or assertion
    return _one_line(found.group(1) if found else description)


def _build(trt: Any, builder: Any, network: Any, parser: Any, log: Any, job: Build, report: Report) -> Built:
    """Parse the ONNX file and build the engine."""
    built = partial(Built, version=trt.__version__)
    start = time.perf_counter()
    if not parser.parse(Path(job.onnx).read_bytes()):
        errors = [
            f"{error.node_name() or 'the graph'}: {_parser_message(error.desc())}" for error in _parser_errors(parser)
        ]
        return built(errors=_distinct(errors or log.errors))
    warnings = _distinct(log.warnings)  # later ones, of the builder, are about speed
    config = _config(trt, builder, network, job)
    monitor = _monitor(trt, report)  # must outlive the build: TensorRT holds no reference to it
    if monitor is not None:
        config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        return built(
            errors=_distinct(log.errors or ["the builder returned no engine and no reason"]), warnings=warnings
        )
    Path(job.engine).write_bytes(bytes(plan))
    return built(warnings=warnings, seconds=time.perf_counter() - start, precision=_precision(network))


def _config(trt: Any, builder: Any, network: Any, job: Build) -> Any:
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        _, *image = tuple(tensor.shape)
        profile.set_shape(tensor.name, *((size, *image) for size in job.batch))
    config.add_optimization_profile(profile)
    config.clear_flag(trt.BuilderFlag.TF32)  # on by default; it reduces fp32 to eleven bits of mantissa
    if job.workspace_mb is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, job.workspace_mb << 20)
    if job.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if job.targets:
        config.num_compute_capabilities = len(job.targets)
        for index, target in enumerate(job.targets):
            config.set_compute_capability(getattr(trt.ComputeCapability, target.upper()), index)
    return config


def _precision(network: Any) -> dict[str, str]:
    layers = (network.get_layer(index) for index in range(network.num_layers))
    return {layer.name: layer.get_output(0).dtype.name.lower() for layer in layers if layer.num_outputs}


def _monitor(trt: Any, report: Report) -> Any:
    """A monitor that reports each step, and stops the build if the other process has ended."""
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # the class comes from a module chosen at run time
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}
            self.lock = threading.Lock()  # TensorRT may build with several threads

        def phase_start(self, phase_name: str, _: str | None, num_steps: int) -> None:
            with self.lock:
                self.steps[phase_name] = num_steps
                report(Progress(phase=phase_name, done=0, total=num_steps))

        def step_complete(self, phase_name: str, step: int) -> bool:
            with self.lock:
                return report(Progress(phase=phase_name, done=step + 1, total=self.steps[phase_name]))

        def phase_finish(self, phase_name: str) -> None:
            with self.lock:
                steps = self.steps[phase_name]
                report(Progress(phase=phase_name, done=steps, total=steps))

    return Monitor()


def _log(trt: Any) -> Any:
    """A logger that collects errors and warnings and prints nothing."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []
            self.warnings: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.ERROR:
                self.errors.append(message)
            elif severity == trt.ILogger.WARNING:
                self.warnings.append(re.sub(r"^\w+\.[ch]pp:\d+: ", "", message))

    return Log()


def _distinct(messages: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(_one_line, messages)))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _send(stream: BinaryIO, message: Progress | Answer) -> bool:
    """Write one line; returns False if the other process has ended."""
    try:
        stream.write(msgspec.json.encode(message) + b"\n")
        stream.flush()
    except OSError:
        return False
    return True


def main() -> None:
    """Read the job, run it and write the answer."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    messages = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not be read as messages
    _send(messages, work(job, partial(_send, messages)))


if __name__ == "__main__":
    main()
