"""Functions for `isolated` that are no commands of capsedge and may crash in a driver, with their heavy imports."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from capsedge.contract import EngineManifest, Verdict
from capsedge.errors import ModelError, WrongUse
from capsedge.measure.bench.measure import measure
from capsedge.measure.bench.plan import Plan
from capsedge.measure.bench.report import Group
from capsedge.runtime.open import open_session
from capsedge.runtime.providers import Provider
from capsedge.runtime.session import contract_needed
from capsedge.runtime.settings import Settings
from capsedge.runtime.tensorrt.cuda import Device
from tests.gpu.artifacts import Opened, Training, contract_in

if TYPE_CHECKING:
    from capsedge.export import BuildOptions
    from capsedge.training import Trainer

WARM_UP_STEPS = 2  # cuDNN and the optimizer allocate their buffers in these


@dataclass(frozen=True)
class Torch:
    """The installed torch.

    Attributes:
        version: Its own.
        cuda: The CUDA that it was built for; "" for none.
        devices: Names of its CUDA devices.
        tf32: Whether its convolutions compute fp32 in TF32.
    """

    version: str
    cuda: str
    devices: tuple[str, ...]
    tf32: bool


def torch_here() -> Torch:
    """The version and the CUDA devices of torch."""
    import torch

    names = tuple(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    return Torch(str(torch.__version__), torch.version.cuda or "", names, torch.backends.cudnn.allow_tf32)


def gpu_here() -> Device | None:
    """The GPU that CUDA uses here."""
    from capsedge.export.tensorrt.options import gpu

    return gpu()


def first_losses(trainings: Sequence[Training], device: str, steps: int) -> list[tuple[float, ...]]:
    """The mean loss of each of the first minibatches, of each training."""
    return [_first_losses(training, device, steps) for training in trainings]


def _first_losses(training: Training, device: str, steps: int) -> tuple[float, ...]:
    from capsedge.reproduce.steps import whole_batches

    trainer = _trainer(training, device)
    losses, before = [], 0.0
    for batch in islice(whole_batches(trainer), steps):
        trainer.iterate(batch)
        trainer.position.step += 1  # which sets the rate
        total = float(trainer.sums[0])
        losses.append((total - before) / batch.total)
        before = total
    return tuple(losses)


def steps_without_waiting(training: Training, steps: int) -> str:
    """Run iterations on CUDA in which torch raises if the processor waits for the GPU; returns the device."""
    from capsedge.reproduce.steps import whole_batches

    trainer = _trainer(training, "cuda")
    batches = whole_batches(trainer)
    for batch in islice(batches, WARM_UP_STEPS):
        trainer.iterate(batch)
    with _no_waiting():
        for batch in islice(batches, steps):
            trainer.iterate(batch)
    return str(trainer.devices.device)


def batches_without_waiting(training: Training) -> int:
    """Compare an epoch's batches on CUDA, made without waiting, with the CPU's; returns their number."""
    import torch

    gpu, cpu = (_trainer(training, device).batches for device in ("cuda", "cpu"))
    with _no_waiting():
        on_gpu = list(gpu.epoch(1))
    for one, two in zip(on_gpu, cpu.epoch(1), strict=True):
        assert torch.equal(one.labels.cpu(), two.labels)
        torch.testing.assert_close(one.images.cpu(), two.images)
    return len(on_gpu)


def gate(model: Path, run: Path, provider: Provider) -> Verdict:
    """Run the gate for a file on any provider; `capsedge gate` uses the CPU's only."""
    from capsedge.export.gate import judge, reference, tolerance_of
    from capsedge.training import Run

    trained = Run(run)
    with open_session(model, Settings(provider=provider)) as session:
        contract = contract_needed(session)
        expected = reference(trained.load_best(), contract, trained.load_dataset().validation)
        return judge(session, expected, tolerance_of(contract.precision)).verdict


def build(model: Path, engine: Path, options: "BuildOptions") -> str:
    """Build an engine; returns why the package does not support this GPU, or ""."""
    from capsedge.export import build_engine, check_options

    try:
        check_options(options)
    except WrongUse as error:  # only the target of these options can be wrong
        return str(error)
    build_engine(model, engine, options)
    return ""


def build_by_trtexec(program: str, model: Path, engine: Path, options: "BuildOptions") -> None:
    """Build as on a target machine with the ONNX file and a deferred manifest: run the manifest's command.

    The manifest is written here, since capsedge defers only where it cannot build.
    """
    from capsedge.export.tensorrt import save_manifest, trtexec_line
    from tests.gpu.process import run

    contract = contract_in(model)
    line = trtexec_line(model, engine, contract.input, options)
    manifest = EngineManifest(
        engine_sha256="",
        package="tensorrt",
        package_version="",
        targets=(),
        batch=options.batch,
        deferred=line,
        build_seconds=0.0,
        size_bytes=0,
        precision={},
        contract=replace(contract, verdict=Verdict(status="not executed here")),
    )
    save_manifest(engine, manifest)
    done = run([program, *shlex.split(line)[1:]], folder=model.parent)
    if done.returncode or not engine.is_file():
        said = [line for line in (done.stdout + done.stderr).splitlines() if "[E]" in line] or ["it wrote no engine"]
        raise ModelError(f"'{line}' ended with {done.returncode}: {said[0]}")


def latencies(models: Sequence[Opened], plan: Plan) -> Group:
    """Time files on several providers side by side; `capsedge bench` takes one provider for all of its ONNX files."""
    with ExitStack() as stack:
        sessions = [stack.enter_context(open_session(each.file, Settings(provider=each.provider))) for each in models]
        group = measure(sessions, plan, labels=[each.title for each in models])
    # Ten thousand samples of each model would make the proof unreadable.
    return replace(group, cases=tuple(replace(case, samples_ms=()) for case in group.cases))


def repository(folder: Path, models: Sequence[Path]) -> tuple[Path, ...]:
    """Write a model repository for Triton; returns the folder of each model."""
    from capsedge.export.triton import write_repository

    return tuple(write_repository(folder, model) for model in models)


def _trainer(training: Training, device: str) -> "Trainer":
    """A training at its start; nothing is written."""
    from capsedge.recipe import load_recipe
    from capsedge.training import Run, Trainer, dataset_of

    recipe = load_recipe(training.recipe, training.changes)
    return Trainer(recipe, dataset_of(recipe.data), Run(Path("unused")), device=device)


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Make torch raise if the processor waits for the GPU."""
    import torch

    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
