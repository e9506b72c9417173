"""The steps of training: CUDA against the CPU, no waits, two GPUs; and the networks for all later steps."""

import importlib.util
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from benchmarks.prove import process
from benchmarks.prove.asked import Steps, StepsWanted
from benchmarks.prove.place import DYNAMIC, Place
from benchmarks.prove.record import Failed, Found, NotPossible

BETTER_THAN_GUESSING = 0.1
"""A trained network must err this much less often than a guess does, as a share of the images."""

EXPORTED = "full-fp32"
"""The training that all files are made of, where it was possible on CUDA."""

COMPARED_STEPS = 5
# Largest relative difference of the first loss, and of the later ones, between CUDA and the CPU. Tried on a CPU at
# Table I's width: weights changed by TF32's rounding move the first loss by 2e-5 and the next four by up to 5e-4,
# bf16 instead of fp32 by 3e-4 and 2e-3. Losses drift apart with every step, so the later limit is wider.
LOSS_LIMITS = {"fp32": (2e-4, 5e-3), "bf16": (2e-3, 2e-2)}

# From the recipe of any collapsible run to dynamic routing with the same widths.
_TO_DYNAMIC = ("routing.kind=dynamic", "routing.sigma=0.1", "routing.proximal=false")

_OF_THE_TESTS = ("pytest", "pytest_timeout", "hypothesis", "beartype")
_WAITS_TEST = ("tests/training/test_batches.py", "-k", "makes_the_processor_wait")


def on_cuda(place: Place, kind: str, precision: str) -> Iterator[Found]:
    """Train the small or the full-width network on CUDA."""
    _need_cuda(place)
    recipe, changes = place.plan.small if kind == "small" else place.plan.network
    run = f"{kind}-{precision}"
    found = _trained(place, run, recipe, (*changes, f"train.precision={precision}"), "cuda")
    if run == EXPORTED:
        place.runs["network"] = run
    yield found


def first_losses(place: Place, precision: str, device: str = "cuda") -> Iterator[Found]:
    """The same seed on the CPU and on a GPU: the same losses, but for the order of sums."""
    if device == "cuda":
        _need_cuda(place)
    recipe, changes = place.plan.network
    wanted = [
        StepsWanted(recipe, (*changes, f"train.precision={precision}"), each, COMPARED_STEPS)
        for each in ("cpu", device)
    ]
    cpu, other = (place.job("losses", each).answer(Steps) for each in wanted)
    yield compared(cpu, other, precision)


def compared(cpu: Steps, other: Steps, precision: str) -> Found:
    """Hold losses against the CPU's.

    Raises:
        Failed: They differ by more than `LOSS_LIMITS`.
    """
    differences = [abs(ours / theirs - 1) for ours, theirs in zip(other.losses, cpu.losses, strict=True)]
    first, later = LOSS_LIMITS[precision]
    largest = max(differences)
    text = f"the first loss differs by {differences[0]:.1e}, the largest of {len(differences)} by {largest:.1e}"
    # Negated, so that a loss that is not a number fails.
    if not (differences[0] <= first and all(each <= later for each in differences)):
        raise Failed(f"{text}; {first:g} and {later:g} are accepted")
    data = {"cpu": cpu.losses, other.device: other.losses, "limits": (first, later)}
    return Found(f"{text} ({other.device} against the CPU)", data)


def no_wait(place: Place) -> Iterator[Found]:
    """Whole iterations in which torch raises where the processor waits for the GPU."""
    _need_cuda(place)
    recipe, changes = place.plan.network
    done = place.job("waits", StepsWanted(recipe, changes, "cuda", COMPARED_STEPS)).answer(Steps)
    yield Found(f"{COMPARED_STEPS} iterations on {done.device} without a wait")


def gpu_tests(place: Place) -> Iterator[Found]:
    """The tests that are skipped where there is no GPU."""
    _need_cuda(place)
    missing = [module for module in _OF_THE_TESTS if importlib.util.find_spec(module) is None]
    if missing:
        raise NotPossible(f"the tests need {', '.join(missing)}: pip install 'capsedge[dev]'")
    words = [sys.executable, "-m", "pytest", *_WAITS_TEST]
    said = process.run(words, folder=process.ROOT, limit_s=place.plan.limit_s)
    last = said.out.decode(errors="replace").strip().rpartition("\n")[2]
    if said.code or "skipped" in last:
        raise Failed(f"pytest: {last}")
    yield Found(f"pytest: {last}")


def two_gpus(place: Place) -> Iterator[Found]:
    """Two GPUs share each batch, and take the steps of one."""
    _need_cuda(place)
    if len(place.cuda) < 2:
        raise NotPossible("it takes two CUDA devices, and there is one")
    recipe, changes = place.plan.small
    one, two = (
        _trained(place, f"small-on-{count}", recipe, changes, "cuda", "--devices", str(count)) for count in (1, 2)
    )
    ours, theirs = (_training_losses(place, f"small-on-{count}") for count in (2, 1))
    limit = LOSS_LIMITS["fp32"][1]
    if not all(abs(our / their - 1) <= limit for our, their in zip(ours, theirs, strict=True)):
        raise Failed(f"the losses {ours} are not those of one GPU, {theirs}")
    yield Found(f"two: {two.detail}; one: {one.detail}", {"one": one.data, "two": two.data})


def network(place: Place) -> Iterator[Found]:
    """The run that all files are made of: the one that was given, or one that is trained here."""
    if place.given is not None:
        name = place.given.name
        shutil.copytree(place.given, place.out / name, ignore=shutil.ignore_patterns("*.onnx*", "*.engine*", ".*"))
        place.runs["network"] = name
        yield Found(f"the run '{name}', as it was given", _record(place, name))
        return
    if "network" in place.runs:
        yield Found(f"'{EXPORTED}', which was trained on CUDA")
        return
    recipe, changes = place.plan.network
    found = _trained(place, "network", recipe, changes, "cpu")
    place.runs["network"] = "network"
    yield found


def dynamic(place: Place) -> Iterator[Found]:
    """Dynamic routing with the same widths on the same images: what the collapsed network is compared with."""
    run = place.run_of("fp32")
    record = _record(place, run)
    device = "cuda" if place.cuda and record["device"].startswith("cuda") else "cpu"
    data = ("--data", record["data_source"])
    # A run that was given may have taken hours; what is timed does not depend on what was learned.
    changes = (*_TO_DYNAMIC, "train.epochs=1") if place.given else _TO_DYNAMIC
    found = _trained(place, DYNAMIC, f"{run}/recipe.toml", changes, device, *data, learned=False)
    place.runs[DYNAMIC] = DYNAMIC
    yield found


def _need_cuda(place: Place) -> None:
    if not place.cuda:
        raise NotPossible("torch finds no CUDA device")


def _trained(
    place: Place, run: str, recipe: str, changes: Sequence[str], device: str, *more: str, learned: bool = True
) -> Found:
    """A training by `capsedge train`, on the device that it was told, that learned more than to guess."""
    sets = [word for change in changes for word in ("--set", change)]
    record = place.capsedge("train", recipe, "--run", run, "--device", device, "--json", *more, *sets).answer(
        dict[str, Any]
    )
    if not record["device"].startswith(device):
        raise Failed(f"it ran on {record['device']}, and {device} was asked for")
    error = next(score["error"] for score in record["scores"] if score["split"] == "validation")
    guess = 1 - 1 / len(record["classes"])
    if learned and not error <= guess - BETTER_THAN_GUESSING:
        raise Failed(f"the validation error is {100 * error:.2f} %, and a guess has {100 * guess:.0f} %")
    speed = _rows(place, run)[-1]["images_per_second"]
    return Found(
        f"{recipe} on {record['device']}: validation error {100 * error:.2f} %, {speed:,.0f} images/s", record
    )


def _record(place: Place, run: str) -> dict[str, Any]:
    """A run's record, as plain values: capsedge.training would load torch into this process."""
    record: dict[str, Any] = msgspec.json.decode((place.out / run / "run.json").read_bytes())
    return record


def _training_losses(place: Place, run: str) -> list[float]:
    return [row["loss"] for row in _rows(place, run)]


def _rows(place: Place, run: str) -> list[dict[str, Any]]:
    """The training rows of a run's metrics."""
    rows = map(msgspec.json.decode, (place.out / run / "metrics.jsonl").read_bytes().splitlines())
    return [row for row in rows if row["kind"] == "training"]
