"""The tables of `capsedge inspect`: a file, its contract, and the results of the checks."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from capsedge.cli import console
from capsedge.cli.console import percent
from capsedge.cli.screens import contract as described
from capsedge.cli.tables import Column, Row, print_rows, print_table

if TYPE_CHECKING:
    from capsedge.contract import Contract, Layer, Score
    from capsedge.runtime.inspection import Inspection

_MOST_WEIGHTS = 12  # rows for a file without a contract


def show_inspection(found: "Inspection") -> None:
    """Print the tables of an inspected model."""
    contract = found.promises
    _print_rows(described.heading(found), described.the_file(found))
    if contract is None:
        _print_weights(found.weights_bytes)
        return
    _print_rows("Use", described.its_use(contract))
    print_layers(contract)
    _print_scores(contract.scores)
    if contract.verdict is not None:
        _print_rows("Gate", described.its_verdict(contract.verdict))
        figures = [*described.its_figures(contract.verdict)]
        _print_table(
            "Gate measurements",
            Column("figure", [name for name, _, _ in figures]),
            Column("measured", [measured for _, measured, _ in figures], numeric=True),
            Column("limit", [limit for _, _, limit in figures], numeric=True),
        )
    if found.manifest is not None:
        _print_rows("Engine", described.its_engine(found.manifest))
    _print_rows("Origin", described.its_origin(contract))
    _print_rows("Hashes", described.its_hashes(found))


def print_layers(contract: "Contract") -> None:
    """Print a row for each layer in the contract."""
    layers, flops = contract.layers, contract.flops or 1
    _print_table(
        "Layers",
        Column("layer", [_module(layer) for layer in layers]),
        Column("op", [layer.op for layer in layers], optional=1),
        Column("type", [layer.type for layer in layers]),
        Column("output", [layer.output for layer in layers]),
        Column("FLOPs", [f"{layer.flops:,}" for layer in layers], numeric=True),
        Column("share", [described.share_of(layer.flops / flops) for layer in layers], numeric=True, optional=2),
        Column("parameters", [f"{layer.parameters:,}" for layer in layers], numeric=True),
    )


def _module(layer: "Layer") -> str:
    """The module's name of a layer, without the suffixes that torch and the quantizer add."""
    return layer.name.removesuffix("_quantized").removesuffix(".weight")


def _print_scores(scores: "Sequence[Score]") -> None:
    """Print the error of each stage, with a column for each split."""
    splits = ("validation", "test")
    errors: dict[tuple[str, str], str] = {}
    for score in scores:
        errors[score.stage, score.split] = f"{percent(score.error)} of {score.images:,}"
    stages = list(dict.fromkeys(score.stage for score in scores))
    columns = [Column(split, [errors.get((stage, split), "") for stage in stages], numeric=True) for split in splits]
    _print_table("Error", Column("stage", stages), *columns)


def _print_weights(weights: dict[str, int]) -> None:
    """Print the largest weights of a file without a contract."""
    largest = sorted(weights.items(), key=lambda item: -item[1])
    rows = [(name, described.in_bytes(size)) for name, size in largest[:_MOST_WEIGHTS]]
    if smaller := [size for _, size in largest[_MOST_WEIGHTS:]]:
        rows.append((f"and {len(smaller)} smaller", described.in_bytes(sum(smaller))))
    sizes = [size for _, size in rows]
    _print_table("Weights", Column("name", [name for name, _ in rows]), Column("size", sizes, numeric=True))


def _print_rows(title: str, rows: Iterable[Row]) -> None:
    print_rows(title, rows)
    console.out.print()


def _print_table(title: str, *columns: Column) -> None:
    if columns[0].cells:
        print_table(columns, title=title)
        console.out.print()
