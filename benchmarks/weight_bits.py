"""Error, length differences and latency of int8 files, by the bits and the rounding of the weights.

    python -m benchmarks.weight_bits MODEL.onnx... [--data fashion-mnist] [--duration 3] [--no-latency]
        [--emulated haswell] [--images 1000]

Each model is an fp32 file of `capsedge export`. The int8 files are made as in an export: calibrated on 512 training
images, by the method with the lowest validation error. "nearest" rounds each weight separately; an export compensates
rounding errors between weights (`capsedge.export.precision.rounding`). Latencies come from one interleaved run of
`capsedge bench`, on one thread. Weights of 8 bits saturate on x86 without VNNI: there they are measured twice, with
ONNX Runtime's default kernels and with its exact ones. `--emulated` also runs the first test images on another
processor, with the default kernels (docs/portable.md).
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.portable.emulators import PROCESSORS, EmulatedProcessor, python_on
from benchmarks.portable.worker import EmulatedSession
from capsedge.contract import contract_of
from capsedge.data import Dataset, Split, load_dataset
from capsedge.export.precision import calibration_images
from capsedge.export.precision.quantize import WeightBits, quantized
from capsedge.export.trial import lengths_of_all
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.processor import in_words, this_processor
from capsedge.runtime.int8_pairs import int8_pairs
from capsedge.runtime.open import open_session
from capsedge.runtime.ort.saturation import int8_saturates
from capsedge.runtime.ort.wheels import load_onnxruntime
from capsedge.runtime.settings import Settings
from capsedge.scoring import wrong_answers
from capsedge.statistics import paired_difference

Lengths = NDArray[np.float32]
KINDS: Mapping[str, tuple[WeightBits, bool]] = {  # bits, and whether rounded to the nearest code
    "8 bits, nearest": (8, True),
    "8 bits": (8, False),
    "7 bits, nearest": (7, True),
    "7 bits": (7, False),
}
COLUMNS = (
    *("weights", "calibrated by", "largest pair", "validation error", "less fp32 (95 %)"),
    *("test error", "less fp32 (95 %)", "same answer", "length: largest, mean difference", "one image, p50"),
)


def main() -> None:
    """Measure, and print a table in Markdown for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL.onnx")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--duration", default="3", metavar="SECONDS", help="time of each model's latency measurement")
    parser.add_argument("--no-latency", action="store_true")
    parser.add_argument("--emulated", choices=[each.name for each in PROCESSORS])
    parser.add_argument("--images", type=int, default=1000, help="test images for the emulated processor")
    options = parser.parse_args()
    dataset = load_dataset(options.data)
    first = Split(dataset.test.images[: options.images], dataset.test.labels[: options.images])
    processor = this_processor()
    print(f"On {'an unknown processor' if processor is None else in_words(processor)}.\n")
    for model in options.models:
        with tempfile.TemporaryDirectory() as name:
            files = _measure(model, dataset, Path(name), None if options.no_latency else options.duration)
            for emulated in PROCESSORS:
                if emulated.name == options.emulated:
                    _measure_on(emulated, files, first)


def _measure(model: Path, dataset: Dataset, folder: Path, seconds: str | None) -> dict[str, Path]:
    """Print one model's table; returns its files by kind."""
    right = [_lengths(model, split) for split in (dataset.validation, dataset.test)]
    files = {kind: _quantized(model, dataset, folder, kind, right[0]) for kind in KINDS}
    latency = {} if seconds is None else _latencies([model, *(file for file, _ in files.values())], seconds)
    print(f"`{model}`, {len(dataset.validation):,} validation and {len(dataset.test):,} test images\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for file, cells in _rows(model, dataset, right, files):
        print(f"| {' | '.join((*cells, latency.get(file, '')))} |")
    print()
    return {"fp32": model, **{kind: file for kind, (file, _) in files.items()}}


def _measure_on(processor: EmulatedProcessor, files: dict[str, Path], test: Split) -> None:
    """The errors on an emulated processor, and how often its answers are those of this one."""
    contract = contract_of(read_onnx_file(files["fp32"]), source=str(files["fp32"]))
    assert contract is not None  # `capsedge export` made it
    print(f"Emulated {processor.title}, the first {len(test):,} test images\n")
    print("| weights | test error | the same here | same answer as here |\n|---|---|---|---|")
    for name, file in files.items():
        with EmulatedSession(file, python_on(processor), contract, Settings(threads=1, exact_int8=False)) as session:
            theirs = lengths_of_all(session, test.images)
        ours = _lengths(file, test, exact=True)
        errors = [_percent(wrong_answers(each, test.labels)) for each in (theirs, ours)]
        print(f"| {name} | {' | '.join(errors)} | {_percent(theirs.argmax(1) == ours.argmax(1))} |")
    print()


def _rows(
    model: Path, dataset: Dataset, right: list[Lengths], files: dict[str, tuple[Path, str]]
) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Each file with the cells of its row, once for each way to run it on this processor."""
    labels = [split.labels for split in (dataset.validation, dataset.test)]
    of_fp32 = [wrong_answers(*each) for each in zip(right, labels, strict=True)]
    errors = [_percent(each) for each in of_fp32]
    yield model, ("fp32", "", "", errors[0], "", errors[1], "", "", "")
    for kind, (file, method) in files.items():
        pairs = int8_pairs(file)
        assert pairs is not None  # it was quantized
        twice = int8_saturates(load_onnxruntime()) and not pairs.fit
        for exact, name in ((True, ", exact kernels"), (False, ", default kernels")) if twice else ((None, ""),):
            ours = [_lengths(file, split, exact) for split in (dataset.validation, dataset.test)]
            wrong = [wrong_answers(*each) for each in zip(ours, labels, strict=True)]
            changes = [_change(*each) for each in zip(wrong, of_fp32, strict=True)]
            away = np.abs(ours[1] - right[1])
            same = _percent(ours[1].argmax(1) == right[1].argmax(1))
            errors = [cell for each in zip(map(_percent, wrong), changes, strict=True) for cell in each]
            cells = (f"{kind}{name}", method, f"{pairs.largest:,}", *errors, same)
            yield file, (*cells, f"{away.max():.2f}, {away.mean():.4f}")


def _quantized(model: Path, dataset: Dataset, folder: Path, kind: str, right: Lengths) -> tuple[Path, str]:
    """The file with such weights, and its calibration method."""
    bits, nearest = KINDS[kind]

    def score(candidate: onnx.ModelProto, _: str) -> tuple[float, float]:
        file = folder / "candidate.onnx"
        file.write_bytes(candidate.SerializeToString())
        lengths = _lengths(file, dataset.validation)
        wrong = wrong_answers(lengths, dataset.validation.labels)
        return float(wrong.mean()), float(np.abs(lengths - right).mean())

    made = quantized(onnx.load(model), calibration_images(dataset), score, weight_bits=bits, nearest=nearest)
    file = folder / f"{model.stem}.{kind.replace(', ', '-').replace(' ', '-')}.onnx"
    file.write_bytes(made.model.SerializeToString(deterministic=True))
    return file, made.calibration.method


def _lengths(file: Path, split: Split, exact: bool | None = None) -> Lengths:
    with open_session(file, Settings(exact_int8=exact)) as session:
        return lengths_of_all(session, split.images)


def _latencies(files: list[Path], seconds: str) -> dict[Path, str]:
    """The p50 of each file, and its ratio to the first."""
    command = ["bench", *map(str, files), "--threads", "1", "--duration", seconds, "--json"]
    done = subprocess.run([sys.executable, "-m", "capsedge", *command], capture_output=True, check=True)
    (group,) = json.loads(done.stdout)["groups"]
    return {file: _latency(case) for file, case in zip(files, group["cases"], strict=True)}


def _latency(case: dict[str, Any]) -> str:
    p50 = next(each["value_ms"] for each in case["percentiles"] if each["percent"] == 50)
    ratio = case["ratio"]
    beside = "" if ratio is None else f", x {ratio['value']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
    return f"{p50:.3f} ms{beside}"


def _change(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> str:
    found = paired_difference([ours], [theirs])
    return f"{100 * found.mean:+.2f} ({100 * found.low:+.2f} to {100 * found.high:+.2f})"


def _percent(images: NDArray[np.bool_]) -> str:
    return f"{100 * images.mean():.2f} %"


if __name__ == "__main__":
    main()
