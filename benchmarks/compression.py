"""Compression by routing, compared with other rules and with the small network trained from scratch.

    python -m benchmarks.compression RUN [--keep 0.5 0.25] [--seeds 0 1 2] [--rounds 2] [--epochs 3]
        [--scratch-epochs N] [--rules routing magnitude random scratch] [--out compression]

RUN is a finished run. Each rule compresses it to each share of its multiply-accumulates, with each seed of the
fine-tuning; `scratch` trains the network that `routing` found by RUN's own recipe, from random weights, and `taught`
does so with RUN as the teacher. Each training is a run in OUT/runs. Finished runs are not trained again, so the same
command continues after an interruption: a training from scratch at its last checkpoint, a compression at its start.
OUT/compression.json has a record for each run, OUT/compression.md the table.

Differences are paired by test image and seed; their intervals are over the images, for these seeds.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray

from capsedge.cli.progress import TrainingProgress
from capsedge.compress import Compression, Keep, Options, compress
from capsedge.compress.record import FILE
from capsedge.compress.wiring import wiring_of
from capsedge.data import Dataset
from capsedge.errors import CapsedgeError, WrongUse
from capsedge.files import write_atomically
from capsedge.recipe import Recipe
from capsedge.reproduce.trainings import trained
from capsedge.run_record import is_run
from capsedge.scoring import wrong_answers
from capsedge.statistics import Difference, mean_and_spread, paired_difference
from capsedge.training import Observer, Run, lengths_of

COMPRESSING = ("routing", "magnitude", "random")
RULES = (*COMPRESSING, "scratch", "taught")
COLUMNS = (
    *("rule", "MACs", "parameters", "latency", "validation error", "test error"),
    *("less the uncompressed (95 %)", "less routing (95 %)"),
)

Mistakes = dict[int, NDArray[np.bool_]]  # by seed, the test images with a wrong answer


def main() -> None:
    """Train what is missing, then write the records and the table."""
    options = _options()
    source, out = Run(options.run), options.out
    records = _read(out)
    names = [(rule, keep, seed) for keep in options.keep for seed in options.seeds for rule in options.rules]
    try:
        for number, (rule, keep, seed) in enumerate(names, 1):
            name = f"{rule}-{keep:g}-seed{seed}"
            print(f"{name} ({number} of {len(names)})", flush=True)
            run = _made(source, rule, keep, seed, options)
            if name not in records:
                records[name] = _record(run, {"rule": rule, "keep": keep, "seed": seed})
                write_atomically(out / "compression.json", json.dumps(records, indent=1))
    except CapsedgeError as error:
        raise SystemExit(f"{error}; the same command continues") from error
    text = "\n".join(_table(source, records, options))
    write_atomically(out / "compression.md", text)
    print(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--keep", type=float, nargs="+", default=[0.5, 0.25], metavar="SHARE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3, help="epochs of each round")
    parser.add_argument("--scratch-epochs", type=int, help="default: RUN's plus those of all rounds")
    parser.add_argument("--rate", type=float, help="peak learning rate of the fine-tuning; default: half of RUN's")
    parser.add_argument("--rules", nargs="+", choices=RULES, default=[*COMPRESSING, "scratch"])
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument(
        "--duration", type=float, metavar="SECONDS", help="duration of the timed iterations of each network"
    )
    parser.add_argument("--out", type=Path, default=Path("compression"))
    options = parser.parse_args()
    if {"scratch", "taught"} & {*options.rules} and "routing" not in options.rules:
        parser.error("scratch and taught train the network of routing: add it to --rules")
    options.rules = [rule for rule in RULES if rule in options.rules]  # routing first
    return options


def _made(source: Run, rule: str, keep: float, seed: int, options: argparse.Namespace) -> Run:
    """The finished run of one rule, share and seed, made now if it is missing."""
    folder = partial(_folder, options.out, keep=keep, seed=seed)
    run = Run(folder(rule))
    if rule in COMPRESSING:
        if is_run(run.path):
            _check_same(run, options)
            return run
        how = Options(
            by=rule,  # type: ignore[arg-type]  # it is one of the three
            rounds=options.rounds,
            epochs=options.epochs,
            learning_rate=options.rate,
            overrides=(f"train.seed={seed}", *options.overrides),
            seconds=options.duration,
        )
        return compress(source, Keep(keep), how, run.path, watch=_watched)[0]
    recipe = _from_scratch(source, Run(folder("routing")), seed, options, taught=rule == "taught")
    with _watched(str(run.path)) as observer:
        return trained(recipe, run.path, source.load_dataset(), observer)


def _check_same(run: Run, options: argparse.Namespace) -> None:
    """Refuse a compression with other settings, which does not belong into the table."""
    found = msgspec.json.decode((run.path / FILE).read_bytes(), type=Compression)
    epochs = run.read_recipe().train.epochs
    if epochs != options.epochs or len(found.rounds) > options.rounds:
        raise WrongUse(
            f"expected {options.rounds} rounds of {options.epochs} epochs, and '{run.path}' has {len(found.rounds)} "
            f"of {epochs}: give another --out"
        )


def _folder(out: Path, rule: str, *, keep: float, seed: int) -> Path:
    return out / "runs" / f"{rule}-{keep:g}-seed{seed}"


def _from_scratch(source: Run, small: Run, seed: int, options: argparse.Namespace, *, taught: bool) -> Recipe:
    """The source's recipe with the small network."""
    whole = source.read_recipe()
    train = replace(
        whole.train,
        epochs=options.scratch_epochs or whole.train.epochs + options.rounds * options.epochs,
        seed=seed,
        precision="auto",
        teachers=(str(source.path.resolve()),) if taught else whole.train.teachers,
    )
    return replace(whole, network=small.read_recipe().network, train=train)


@contextmanager
def _watched(title: str) -> Iterator[Observer]:
    print(f"  {title}", flush=True)
    with TrainingProgress() as progress:
        yield progress


def _read(out: Path) -> dict[str, Any]:
    path = out / "compression.json"
    records: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return records


def _record(run: Run, which: dict[str, Any]) -> dict[str, Any]:
    """The figures of a run for the table; test images with a wrong answer by their index."""
    record, dataset = run.read_record(), run.load_dataset()
    wiring = wiring_of(run.load_best(), record.shape)
    scores = {f"{score.split}_error": score.error for score in record.scores}
    ratio = None
    if (run.path / FILE).exists():
        found = msgspec.json.decode((run.path / FILE).read_bytes(), type=Compression).latency_ratio
        ratio = [found.value, found.low, found.high]
    return {
        **which,
        **scores,
        "macs": wiring.macs(wiring.sizes),
        "parameters": wiring.parameters(wiring.sizes),
        "counts": dict(wiring.sizes),
        "latency_ratio": ratio,
        "seconds": record.seconds,
        "wrong": np.flatnonzero(_mistakes(run, dataset)).tolist(),
    }


def _mistakes(run: Run, dataset: Dataset) -> NDArray[np.bool_]:
    lengths = lengths_of(run.load_best(), dataset.test, torch.device("cpu")).numpy()
    return wrong_answers(lengths, dataset.test.labels)


def _table(source: Run, records: dict[str, Any], options: argparse.Namespace) -> Iterator[str]:
    """A table for each share."""
    dataset, record = source.load_dataset(), source.read_record()
    whole = _record(source, {})
    unchanged = _mask(whole["wrong"], len(dataset.test))
    train = source.read_recipe().train
    epochs = options.scratch_epochs or train.epochs + options.rounds * options.epochs
    yield (
        f"`{source.path.name}`: {whole['macs']:,} MACs, {whole['parameters']:,} parameters, validation error "
        f"{100 * whole['validation_error']:.2f} %, test error {100 * whole['test_error']:.2f} % ({record.data}). "
        f"{options.rounds} rounds of {options.epochs} epochs each; from scratch {epochs} epochs. "
        f"Seeds: {', '.join(map(str, options.seeds))}."
    )
    for keep in options.keep:
        rows = {rule: [records[f"{rule}-{keep:g}-seed{seed}"] for seed in options.seeds] for rule in options.rules}
        mistakes = {rule: [_mask(each["wrong"], len(dataset.test)) for each in row] for rule, row in rows.items()}
        yield f"\nAt most {100 * keep:g} % of the MACs; ± is the standard deviation over the seeds:\n"
        yield f"| {' | '.join(COLUMNS)} |"
        yield f"|{'---|' * len(COLUMNS)}"
        for rule, row in rows.items():
            first = "routing" in rows and rule != "routing"
            cells = (
                rule,
                _mean([100 * each["macs"] / whole["macs"] for each in row], "%"),
                _mean([100 * each["parameters"] / whole["parameters"] for each in row], "%"),
                _mean([each["latency_ratio"][0] for each in row], "x") if row[0]["latency_ratio"] else "as routing",
                _mean([100 * each["validation_error"] for each in row], "%", spread=True),
                _mean([100 * each["test_error"] for each in row], "%", spread=True),
                _points(paired_difference(mistakes[rule], [unchanged] * len(row))),
                _points(paired_difference(mistakes[rule], mistakes["routing"])) if first else "",
            )
            yield f"| {' | '.join(cells)} |"


def _mask(wrong: Sequence[int], images: int) -> NDArray[np.bool_]:
    mask = np.zeros(images, np.bool_)
    mask[list(wrong)] = True
    return mask


def _mean(values: Sequence[float], unit: str, *, spread: bool = False) -> str:
    found = mean_and_spread(values)
    beside = f" ± {found.spread:.2f}" if spread and found.spread is not None else ""
    return f"x {found.mean:.2f}" if unit == "x" else f"{found.mean:.{2 if spread else 1}f}{beside} {unit}"


def _points(change: Difference) -> str:
    return f"{100 * change.mean:+.2f} ({100 * change.low:+.2f} to {100 * change.high:+.2f})"


if __name__ == "__main__":
    main()
