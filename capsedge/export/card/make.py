"""The card of an export, from its files' contracts and its run, and the network's weights beside it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save

from capsedge.contract import Contract, Score
from capsedge.errors import ModelError, WrongUse
from capsedge.export.card import words
from capsedge.export.card.header import FileError, header
from capsedge.export.card.latency import Latency, latencies_of
from capsedge.export.collapse import deployable
from capsedge.export.exported_files import CARD_MARK, CARD_SUFFIX, is_of_a_card
from capsedge.export.gate.tolerance import tolerance_of
from capsedge.export.pipeline import Exported, RunExport
from capsedge.files import sha256_of, write_atomically
from capsedge.measure.bench.report import BenchReport
from capsedge.models import CapsNet
from capsedge.plural import number_of, quoted
from capsedge.recipe import Recipe
from capsedge.run_record import RunRecord

_KEPT = {  # by `train.best`
    "error": "which has the lowest validation error",
    "loss": "which has the lowest validation loss",
    "latest": "the latest whose validation error is in the 95 % interval of the lowest",
}


@dataclass(frozen=True)
class _Subject:
    """What a card is about; see `write_card`."""

    record: RunRecord
    recipe: Recipe
    title: str
    files: Sequence[Exported]
    hashes: Sequence[str]
    weights: Path
    latency: Sequence[Latency]
    license: str | None

    @property
    def contract(self) -> Contract:
        """The contract of the first file: all have the network's facts in common."""
        return self.files[0].contract


def write_card(
    exporter: RunExport,
    files: Sequence[Exported],
    card: Path,
    *,
    license: str | None = None,
    report: BenchReport | None = None,
) -> Path:
    """Write the card of exported files, and the network's weights beside them.

    Args:
        exporter: The export of the run.
        files: The files, at least one, that lie in the card's folder.
        card: The Markdown file to write, such as model.card.md; the weights are then model.safetensors.
        license: Identifier of the licence (`header.checked_license`); None for an unspecified one.
        report: A report of `capsedge bench` on some of the files, for the section on latency.

    Returns:
        The file with the weights.

    Raises:
        WrongUse: The report has no case of these files, or a file was not written by a card (`check_replaceable`).
    """
    check_replaceable(card)
    hashes = [sha256_of(each.path) for each in files]
    latency = _latency(files, hashes, report)
    weights = weights_beside(card)
    _save_weights(exporter.network, weights, decoder=exporter.decoder, labels=exporter.dataset.labels_per_image)
    subject = _Subject(
        record=exporter.run.read_record(),
        recipe=exporter.run.read_recipe(),
        title=exporter.dataset.title,
        files=files,
        hashes=hashes,
        weights=weights,
        latency=latency,
        license=license,
    )
    head = header(
        subject.contract.name,
        source="" if subject.recipe.data.overlap else exporter.dataset.source,
        title=subject.title,
        license=license,
        errors=[FileError(each.path.name, _score(each.contract, "test").error) for each in files],
    )
    sections = (_heading, _use, _error, _gate, _latency_section, _limits, _training, _files, _license)
    text = "\n\n".join("\n".join(section(subject)) for section in sections)
    write_atomically(card, f"{head}\n\n{text}\n")
    return weights


def card_beside(model: Path) -> Path:
    """The card of exports whose fp32 file has this path: model.card.md."""
    return model.with_name(f"{model.stem}{CARD_SUFFIX}")


def weights_beside(card: Path) -> Path:
    """The weights that lie beside a card."""
    return card.with_name(f"{card.name.removesuffix(CARD_SUFFIX)}.safetensors")


def check_replaceable(card: Path) -> None:
    """Refuse to replace a card or weights that no card was written with, such as a run's best.safetensors.

    Raises:
        WrongUse: There is such a file.
    """
    weights = weights_beside(card)
    written = weights.is_file() and is_of_a_card(weights)
    for file in (weights, card):
        if file.exists() and not written:
            raise WrongUse(f"'{file}' was not written by --card", "move it away, or choose another --output")


def _save_weights(network: CapsNet, file: Path, *, decoder: bool, labels: int) -> None:
    """Write the exported network's tensors in fp32, as the fp32 ONNX file has them."""
    module = deployable(network, decoder, labels=labels)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    write_atomically(file, save(tensors, CARD_MARK))


def _latency(files: Sequence[Exported], hashes: Sequence[str], report: BenchReport | None) -> tuple[Latency, ...]:
    if report is None:
        return ()
    names = {sha: each.path.name for each, sha in zip(files, hashes, strict=True)}
    found = latencies_of(report, names)
    if not found:
        raise WrongUse(
            f"--bench: expected a report of {quoted(names.values())}, as exported now; it has other files "
            "(compared by SHA-256)",
            "measure these with capsedge bench, then export again with the new report",
        )
    return found


def _heading(card: _Subject) -> Iterator[str]:
    contract = card.contract
    return words.heading(
        contract.name,
        title=card.title,
        classes=contract.classes,
        parameters=contract.parameters,
        flops=contract.flops,
        routing=contract.routing,
        command=f"capsedge infer IMAGE --model {card.files[0].path.name}",
    )


def _use(card: _Subject) -> Iterator[str]:
    contract, file = card.contract, card.files[0].path.name
    colours = "RGB" if contract.input.channels == 3 else "grey"
    yield "## Use"
    yield ""
    yield (
        f"The input is {colours} images of {contract.input.width} x {contract.input.height} pixels, uint8, 0 to 255; "
        f"normalization is in the graph. Images of other sizes are {contract.fit.text}. `capsedge infer` does that; "
        f"`capsedge verify {file}` replays the golden sample. With ONNX Runtime alone:"
    )
    yield ""
    yield "```python"
    yield "import json, numpy, onnxruntime"
    yield ""
    yield f"session = onnxruntime.InferenceSession({file!r})"
    yield 'contract = json.loads(session.get_modelmeta().custom_metadata_map["capsedge.contract"])'
    yield f"images = numpy.zeros(({contract.batch or 1}, {_listed(contract.input.shape)}), numpy.uint8)"
    yield f'(lengths,) = session.run(["lengths"], {{{contract.input.name!r}: images}})'
    yield 'print(contract["classes"][lengths[0].argmax()])'
    yield "```"
    yield ""
    yield words.ABOUT_LENGTHS
    if contract.labels > 1:
        yield ""
        yield f"An image shows {contract.labels} classes: those of its {contract.labels} longest capsules."


def _error(card: _Subject) -> Iterator[str]:
    validation, test = (_score(card.contract, split) for split in ("validation", "test"))
    calibrated = any(each.contract.calibration for each in card.files)
    chosen = f"by which the epoch {'and the calibration were' if calibrated else 'was'} chosen"
    yield "## Error"
    yield ""
    yield (
        "Share of wrong answers, with its 95 % interval (Wilson), of "
        f"{number_of(validation.images, 'validation image')}, {chosen}, and of "
        f"{number_of(test.images, 'test image')}, by which nothing was chosen."
    )
    yield ""
    rows = [["trained network, in torch", *_errors(card.contract, "trained")]]
    rows += [[f"`{each.path.name}`", *_errors(each.contract, each.contract.precision)] for each in card.files]
    yield from words.table(["", "validation", "test"], rows)


def _gate(card: _Subject) -> Iterator[str]:
    yield "## Precision and gate"
    yield ""
    yield (
        "The gate compares each file with the trained network on the validation images. `same` is the share of equal "
        "answers, `change` that of the error in points with its 95 % interval, paired by image."
    )
    yield ""
    yield from words.table(
        ["file", "computes in", "gate", "largest difference of a length", "same", "change"], map(_verdict, card.files)
    )
    for each in card.files:
        verdict, calibration = each.contract.verdict, each.contract.calibration
        remarks = [] if calibration is None else [f"calibrated by {calibration.text}"]
        remarks += [] if verdict is None else [*_own_limit(each.contract), *verdict.remarks]
        for remark in remarks:
            yield ""
            yield f"`{each.path.name}`: {words.plain(remark)}."


def _verdict(file: Exported) -> list[str]:
    verdict = file.contract.verdict
    if verdict is None:
        raise ModelError(f"'{file.path}' has no verdict of the gate", "capsedge export")
    largest, same, change = verdict.largest_length_difference, verdict.top1_agreement, verdict.error_change
    return [
        f"`{file.path.name}`",
        words.in_types(file.contract),
        f"{verdict.status} ({verdict.provider})" if verdict.provider else verdict.status,
        "-" if largest is None else f"{largest:.1e}",
        "-" if same is None else words.percent(same),
        "-" if change is None else words.points(change),
    ]


def _own_limit(contract: Contract) -> Iterator[str]:
    """That the limit of the error is not the one of the precision, but was chosen by who exported (or judged) it."""
    limit = None if contract.verdict is None else contract.verdict.limits.get("error_change")
    usual = tolerance_of(contract.precision).error_increase
    if limit is not None and limit != usual:
        yield (
            f"judged with a limit of {100 * limit:g} points for the increase of the error, chosen for this export; "
            f"that of {contract.precision} is {100 * usual:g}"
        )


def _latency_section(card: _Subject) -> Iterator[str]:
    names = " ".join(each.path.name for each in card.files)
    return words.latencies(
        card.latency,
        f"Not measured. `capsedge bench {names} --output bench.json` measures it, and "
        "the same export with `--bench bench.json` writes it here.",
    )


def _limits(card: _Subject) -> Iterator[str]:
    contract = card.contract
    yield "## Limits"
    yield ""
    yield f"- {words.other_images(card.title)}"
    if contract.dark_background:
        yield (
            "- Its training images show light objects on a dark background. `capsedge infer` exchanges light and "
            "dark of an image that shows the opposite; another program has to do so itself."
        )
    yield (
        "- The errors are of images of the same source as the training images. Errors by class, and errors of "
        "distorted, attacked or unknown images, are not on this card: `capsedge eval` measures them."
    )
    for each in card.files:
        pairs = each.contract.int8_pairs
        if pairs is not None:
            kept = "gives the same results on every processor" if pairs.fit else "saturates on x86 without VNNI"
            yield f"- `{each.path.name}` {kept}."
    for warning in (*(each.text for each in card.record.warnings), *(each.text for each in card.record.remarks)):
        yield f"- From the training: {words.plain(warning)}."


def _training(card: _Subject) -> Iterator[str]:
    record, recipe = card.record, card.recipe
    yield "## Training"
    yield ""
    finished = "" if record.status == "finished" else " The training was not finished when this was exported."
    yield (
        f"{words.plain(record.data)}. Recipe `{recipe.name}`, {number_of(recipe.train.epochs, 'epoch')} in "
        f"{recipe.train.precision} on {record.device}, {record.seconds:,.1f} s. The weights are those of epoch "
        f"{record.best_epoch}, {_KEPT[recipe.train.best]}.{finished}"
    )
    if record.teachers:
        names = ", ".join(f"`{Path(each.run).name}`" for each in record.teachers)
        yield ""
        yield f"It learned from the capsule lengths of {names}, in addition to the labels."
    yield ""
    yield f"SHA-256 of the images and labels: `{record.data_sha256}`."


def _files(card: _Subject) -> Iterator[str]:
    yield "## Files"
    yield ""
    found = [*((each.path, sha) for each, sha in zip(card.files, card.hashes, strict=True))]
    found.append((card.weights, sha256_of(card.weights)))
    yield from words.files((path.name, path.stat().st_size, sha) for path, sha in found)
    yield ""
    folded = "with the routing folded into them" if card.contract.collapsed else "with the routing's coefficients"
    yield f"`{card.weights.name}` holds the weights of the network in fp32, {folded}."
    yield ""
    exported = {name: number for each in card.files for name, number in each.contract.versions.items()}
    yield from words.versions([("training", card.record.versions), ("export", exported)])


def _license(card: _Subject) -> Iterator[str]:
    yield "## Licence"
    yield ""
    if card.license is None:
        yield "Unspecified: whoever publishes the model states it. The data has its own licence."
    else:
        yield f"`{card.license}`, as given by who exported the model. The data has its own licence."


def _score(contract: Contract, split: str, stage: str | None = None) -> Score:
    stage = contract.precision if stage is None else stage
    return next(each for each in contract.scores if (each.stage, each.split) == (stage, split))


def _errors(contract: Contract, stage: str) -> list[str]:
    found = (_score(contract, split, stage) for split in ("validation", "test"))
    return [words.error_within(each.error, each.images) for each in found]


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
