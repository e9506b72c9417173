"""The options of `capsedge export` for a model card."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from capsedge.cli.options import gathered
from capsedge.errors import WrongUse

if TYPE_CHECKING:
    from capsedge.export import Exported, RunExport
    from capsedge.measure.bench.report import BenchReport


class CardOptions(NamedTuple):
    """The options of a model card; None for the default."""

    card: bool = False
    license: str | None = None
    bench: Path | None = None

    def check(self) -> "Callable[[RunExport, Path | None, Sequence[Exported]], Path | None]":
        """The function that writes the card, after the options were checked; see `_write`.

        Raises:
            WrongUse: There are options of a card, but no card is asked for, or the licence is no identifier.
            DataError: The report cannot be read.
        """
        from capsedge.export.card.header import checked_license
        from capsedge.measure.bench.files import load

        if not self.card and self != CardOptions():
            raise WrongUse("--license and --bench apply to a model card", "add --card")
        license = None if self.license is None else checked_license(self.license)
        report = None if self.bench is None else load(self.bench)
        return partial(self._write, license, report)

    def check_place(self, run: Path, output: Path | None) -> None:
        """Refuse before the export a card that would replace a file of another origin.

        Raises:
            WrongUse: There is such a file.
        """
        from capsedge.export.card.make import card_beside, check_replaceable

        if self.card:
            check_replaceable(card_beside(run / "model.onnx" if output is None else output))

    def _write(
        self,
        license: str | None,
        report: "BenchReport | None",
        exporter: "RunExport",
        output: Path | None,
        files: "Sequence[Exported]",
    ) -> Path | None:
        """Write the card of the files that the gate did not reject; if there are none, remove an earlier card."""
        from capsedge.cli.console import say
        from capsedge.cli.screens import export as screen
        from capsedge.export.card.make import card_beside, weights_beside, write_card

        place = card_beside(exporter.run.path / "model.onnx" if output is None else output)
        if not self.card:
            if place.exists():
                say(f"note: '{place}' describes an earlier export: add --card to write it again")
            return None
        if not files:
            place.unlink(missing_ok=True)
            weights_beside(place).unlink(missing_ok=True)
            return None
        weights = write_card(exporter, files, place, license=license, report=report)
        screen.show_card(place, weights, licensed=license is not None)
        return place


NO_CARD = CardOptions()
_OPTIONS: dict[str, Any] = {
    "card": Annotated[
        bool,
        typer.Option("--card", help="Also write a model card for model hubs, and the weights in safetensors."),
    ],
    "license": Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Licence that the card states, such as apache-2.0.  [dim]\\[default: unspecified][/dim]",
            show_default=False,
        ),
    ],
    "bench": Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json", help="Report of `capsedge bench` on these files, for the card's section on latency."
        ),
    ],
}
with_card_options = gathered(
    "card",
    CardOptions,
    {name: (annotation, CardOptions._field_defaults[name]) for name, annotation in _OPTIONS.items()},
)
