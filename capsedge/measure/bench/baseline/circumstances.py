"""What else is another than in the baseline, and may be the reason of a difference."""

from collections.abc import Iterator

from capsedge.measure.bench.baseline.pairs import Found
from capsedge.measure.bench.report import BenchReport


def differences(report: BenchReport, baseline: BenchReport) -> Iterator[str]:
    """What else is another: versions, cores, the governor, how long was measured."""
    then, now = (_circumstances(each) for each in (baseline, report))
    for name in dict.fromkeys([*then, *now]):
        if then.get(name) != now.get(name):
            yield f"{name} was {then.get(name, 'not there')}, is {now.get(name, 'not there')}"


def _circumstances(report: BenchReport) -> dict[str, str]:
    machine, gpu = report.machine, report.machine.gpu
    return {
        "the number of cores": str(machine.cores),
        "the system": machine.system,
        "the board's software": machine.board or "none",
        "the GPU's driver": "none" if gpu is None else gpu.driver,
        "the governor": report.groups[0].before.governor if report.groups else "unavailable",
        "--quick": "given" if report.plan.quick else "not given",
        "capsedge": report.capsedge,
        "Python": machine.python,
        **machine.onnxruntime,
        **machine.versions,
    }


def settings_differences(now: Found, then: Found) -> Iterator[str]:
    """In what one case was opened otherwise, or ran elsewhere."""
    for name in ("spinning", "graph", "io_binding", "cuda_graph", "allow_fallback", "exact_int8"):
        was, is_ = (getattr(found.case.settings, name) for found in (then, now))
        if was != is_:
            yield f"{now.label}: {name} was {was}, is {is_}"
    if now.case.fell_back != then.case.fell_back:
        was, is_ = (", ".join(found.case.fell_back) or "nothing" for found in (then, now))
        yield f"{now.label}: on the CPU fell {was} then, {is_} now"
