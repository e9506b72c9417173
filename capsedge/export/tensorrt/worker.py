"""Works with TensorRT in a process of its own: a job comes as JSON on stdin, lines of JSON go to stdout.

A failed build changes the next build of the same process, so no process builds twice. One code path serves
`tensorrt_rtx` and the classic `tensorrt`: what differs between releases is asked for by attribute.
No engine of either package has been run on a GPU by capsedge yet.

It is run as a file and imports nothing of capsedge, so that a process starts in a moment and small: what the two
sides say to each other is therefore written here.
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
        onnx: The typed ONNX file: precision lives in its graph.
        engine: Where the engine goes.
        batch: Smallest, optimal and largest batch of the optimization profile.
        targets: Compute capabilities such as `sm86`; empty for the builder's default. TensorRT-RTX only.
        workspace_mb: Limit of the memory for intermediate results, in MiB; None for the builder's default.
        hardware_compatible: Build for every GPU from Ampere on. Classic TensorRT only.
    """

    package: str
    onnx: str
    engine: str
    batch: tuple[int, int, int]
    targets: tuple[str, ...] = ()
    workspace_mb: int | None = None
    hardware_compatible: bool = False


class Parse(msgspec.Struct, frozen=True, kw_only=True, tag="parse"):
    """Ask the parser which nodes of an ONNX file it refuses; nothing is built."""

    package: str
    onnx: str


class Ask(msgspec.Struct, frozen=True, kw_only=True, tag="ask"):
    """Ask for the release and the targets of a package."""

    package: str


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag="progress"):
    """How far one phase of a build is; phases lie within each other, the outermost comes first."""

    phase: str
    done: int
    total: int


class Built(msgspec.Struct, frozen=True, kw_only=True, tag="built"):
    """What was built, or why not.

    Attributes:
        errors: One sentence each; empty when the engine was written.
        warnings: What the parser warned of.
        version: Release of the package.
        seconds: Time of parsing and building.
        precision: Type of the output of each layer of the parsed network.
        no_builder: Whether nothing can be built here, for want of the package or of a GPU.
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
        node: Its position in the graph, or -1 where the parser means the whole graph.
        reason: In the parser's words, on one line.
    """

    node: int
    reason: str


class Parsed(msgspec.Struct, frozen=True, kw_only=True, tag="parsed"):
    """What the parser says of a file.

    Attributes:
        errors: Why there is no parser to ask; empty where it answered.
        version: Release of the package.
        supported: Whether the parser takes the whole graph.
        taken: Positions of the nodes that it takes.
        refusals: Nodes that it refuses, with a reason.
        warnings: What it warned of.
    """

    errors: tuple[str, ...] = ()
    version: str = ""
    supported: bool = False
    taken: tuple[int, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()


class About(msgspec.Struct, frozen=True, kw_only=True, tag="about"):
    """What a package is: its release, and the targets that can be chosen, none in classic TensorRT."""

    errors: tuple[str, ...] = ()
    version: str = ""
    targets: tuple[str, ...] = ()


Job: TypeAlias = Build | Parse | Ask
Answer: TypeAlias = Built | Parsed | About

Report = Callable[[Progress], bool]
"""Takes a progress, and says whether anybody still listens."""


def work(job: Job, report: Report = lambda _: True) -> Answer:
    """Do a job; every failure is a sentence in the answer."""
    try:
        trt: Any = import_module(job.package)
    except (ImportError, OSError) as error:  # OSError: the package is there, its libraries are not
        return _impossible(job, "", f"{job.package} does not load here ({_one_line(str(error))})")
    if isinstance(job, Ask):
        return About(version=trt.__version__, targets=_targets(trt))
    log = _log(trt)
    try:
        builder = trt.Builder(log)
    except TypeError:
        # pybind's words for "the native constructor gave nothing", which classic TensorRT does without CUDA.
        reason = f"{job.package} {trt.__version__} cannot build here: it needs an NVIDIA GPU and its driver"
        return _impossible(job, trt.__version__, reason)
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, log)
    if isinstance(job, Parse):
        return _parse(trt, parser, log, job)
    return _build(trt, builder, network, parser, log, job, report)


def _impossible(job: Job, version: str, reason: str) -> Answer:
    """The answer where the package does not load, or has no builder for want of a GPU."""
    if isinstance(job, Build):
        return Built(errors=(reason,), version=version, no_builder=True)
    return Parsed(errors=(reason,), version=version) if isinstance(job, Parse) else About(errors=(reason,))


def _targets(trt: Any) -> tuple[str, ...]:
    known = dir(trt.ComputeCapability) if hasattr(trt, "ComputeCapability") else []
    return tuple(sorted((name.lower() for name in known if name.startswith("SM")), key=lambda name: int(name[2:])))


def _network_flags(trt: Any) -> int:
    """Strongly typed, by the flag's own value, which differs between releases."""
    return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def _parse(trt: Any, parser: Any, log: Any, job: Parse) -> Parsed:
    """Ask the parser about every node."""
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
    reason = f"the parser knows no operator '{operator}'" if unknown else _reason(error.desc())
    return Refusal(node=error.node(), reason=reason)


def _parser_errors(parser: Any) -> list[Any]:
    return [parser.get_error(index) for index in range(parser.num_errors)]


def _reason(description: str) -> str:
    """The part of a parser's error that a person can use: without its own conditions and source lines."""
    of_tensorrt = re.search(r"Error Code \d+: [\w ]+\((.*?)\. In \S+ at /", description, re.DOTALL)
    assertion = re.search(r"Assertion failed: .*?: (.*)", description, re.DOTALL)
    found = of_tensorrt or assertion
    return _one_line(found.group(1) if found else description)


def _build(trt: Any, builder: Any, network: Any, parser: Any, log: Any, job: Build, report: Report) -> Built:
    """Parse the ONNX file and build the engine."""
    built = partial(Built, version=trt.__version__)
    start = time.perf_counter()
    if not parser.parse(Path(job.onnx).read_bytes()):
        errors = [f"{error.node_name() or 'the graph'}: {_reason(error.desc())}" for error in _parser_errors(parser)]
        return built(errors=_distinct(errors or log.errors))
    warnings = _distinct(log.warnings)  # the builder's own are about speed
    config = _config(trt, builder, network, job)
    monitor = _monitor(trt, report)  # which must outlive the build: TensorRT does not keep it alive
    if monitor is not None:
        config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        return built(errors=_distinct(log.errors or ["the builder gave no engine and no reason"]), warnings=warnings)
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
    config.clear_flag(trt.BuilderFlag.TF32)  # on by default, it makes of fp32 eleven bits of mantissa
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
    """A monitor that passes each step on, and stops the build where nobody listens any more."""
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
    """A logger that keeps errors and warnings as text instead of printing everything."""

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
    """Say one line; False where the other side has gone."""
    try:
        stream.write(msgspec.json.encode(message) + b"\n")
        stream.flush()
    except OSError:
        return False
    return True


def main() -> None:
    """Read the job, do it and say what came of it."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    said = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is not one of our lines
    _send(said, work(job, partial(_send, said)))


if __name__ == "__main__":
    main()
