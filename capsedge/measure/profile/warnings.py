"""The warnings of a profile: reasons why its figures are less reliable than they look."""

from collections.abc import Iterator, Sequence

from capsedge.measure.profile.recording import Recording
from capsedge.measure.profile.report import LayerTime, ProfileCode, ProfileWarning, Whole
from capsedge.plural import number_of, plural
from capsedge.runtime.session import Session

SHORT_US = 10.0  # ONNX Runtime records whole microseconds, rounded down
_NO_ROOFLINE = "the roofline is measured on the CPU only"


def _warning(code: ProfileCode, text: str) -> ProfileWarning:
    return ProfileWarning(code=code, text=text)


def about_session(session: Session, cores: int) -> Iterator[ProfileWarning]:
    """Warn about how the model was opened and ran; call this after its runs."""
    threads = session.settings.threads
    if threads > cores:
        yield _warning(
            "threads",
            f"{threads} threads on {number_of(cores, 'core')} wait for each other: give it {cores} or fewer",
        )
    if session.fell_back:
        yield _warning(
            "fell-back", f"{', '.join(session.fell_back)} did not run on {session.settings.provider}, but on the CPU"
        )
    yield from (_warning(each.code, each.text) for each in session.warnings)


def about_recording(recording: Recording, *, on_cpu: bool) -> Iterator[ProfileWarning]:
    """Warn about limits of ONNX Runtime's profiler."""
    if recording.graph is None:
        yield _warning(
            "no-graph",
            "ONNX Runtime cannot write the graph that this provider runs, so stages and weights are not known",
        )
    if not on_cpu:
        yield _warning(
            "launch-times",
            "on a GPU ONNX Runtime's profiler times the launch of a node, not its work: profile an engine",
        )
        yield _warning("no-roofline", _NO_ROOFLINE)
    holders = [node for node in recording.runs[0].nodes if node.inner]
    if holders:
        yield _warning(
            "inner-graphs",
            f"{number_of(sum(len(node.inner) for node in holders), 'node')} ran in subgraphs of "
            f"{', '.join(sorted({node.op for node in holders}))} and are not shown as layers: their times, and the "
            "profiler's overhead for each, are part of the layer that contains them",
        )


def about_engine() -> Iterator[ProfileWarning]:
    """Warn about the effects of TensorRT's profiler."""
    yield _warning("no-cuda-graph", "TensorRT runs its layers without a CUDA graph while it is profiled")
    yield _warning("no-roofline", _NO_ROOFLINE)


def about_whole(whole: Whole) -> Iterator[ProfileWarning]:
    """Warn about times that contradict each other."""
    if whole.between_us < 0:
        why = (
            "layers of an engine can run in parallel, and the profiler slows them down"
            if whole.profiled_us is None
            else "the profiler makes them longer, the short ones most"
        )
        yield _warning(
            "layers-exceed-run",
            f"the layers add up to {whole.layers_us:.1f} us, and a run without the profiler takes "
            f"{whole.plain_us:.1f} us: {why}",
        )
    if whole.profiler_us is not None and whole.profiler_us < 0:
        yield _warning(
            "profiler-within-noise",
            "the profiled runs were faster than those without the profiler: other work disturbed the measurement by "
            "more than the profiler's overhead",
        )


def about_layers(layers: Sequence[LayerTime], whole: Whole) -> Iterator[ProfileWarning]:
    """Warn about times and costs of single layers."""
    short = sum(layer.time_us < SHORT_US for layer in layers)
    if short:
        yield _warning(
            "short-layers",
            f"{short} of {number_of(len(layers), 'layer')} {plural(short, 'takes', 'take')} less than {SHORT_US:.0f} "
            "us, and ONNX Runtime records whole microseconds: such times are rough",
        )
    if whole.probe_us:
        yield _warning(
            "probe",
            f"{whole.probe_us:.1f} us were subtracted from each layer: the profiler's overhead, measured on nodes "
            "that do no work, such as a Reshape",
        )
    elif layers:
        yield _warning(
            "no-probe",
            "the profiler's overhead is part of each layer's time: it is measured on nodes that do no work, and "
            "there are none",
        )
    else:
        yield _warning("no-nodes", "no node ran: the outputs are constant")
    unknown = sorted({layer.op for layer in layers if layer.flops is None and layer.op})
    if unknown:
        yield _warning("uncounted", f"operations are not counted for {', '.join(unknown)}")
    passed = [layer for layer in layers if (layer.of_roof or 0.0) > 1.0]
    if passed:
        yield _warning(
            "above-roof",
            f"{', '.join(layer.layer or layer.name for layer in passed)} exceed the roof: the test product or copy "
            "was slower than this layer, or its bytes were in a faster cache",
        )
