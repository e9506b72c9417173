"""Builds, fine-tunes and compares candidates: pruned networks, with the uncompressed network as the teacher."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray

from capsedge.compress.choice import kept, path
from capsedge.compress.latency import FilePrecision
from capsedge.compress.overrides import check_overrides
from capsedge.compress.record import Figures, Round
from capsedge.compress.scores import Rule, Shares, shares
from capsedge.compress.surgery import smaller
from capsedge.compress.wiring import Counts, Wiring, wiring_of
from capsedge.errors import Interrupted, WrongUse
from capsedge.models import CapsNet
from capsedge.recipe import Recipe, load_recipe
from capsedge.scoring import wrong_answers
from capsedge.statistics import Difference, paired_difference
from capsedge.training import Observer, Run, Trainer, lengths_of
from capsedge.training.batches import normalized, on_device
from capsedge.training.checkpoint import save_weights

SUFFIX = "-compressed"
SCORED_IMAGES = 2000
BATCH = 250
FINE_TUNING_RATE = 0.5  # share of the run's learning rate

Watch = Callable[[str], AbstractContextManager[Observer]]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings of a compression.

    Attributes:
        by: The rule of pruning (`capsedge.compress.scores.shares`).
        rounds: Number of fine-tunings: steps to the target (None for 2), or the maximum number of networks in the
            search for the smallest (None for 6).
        epochs: Epochs of each fine-tuning.
        learning_rate: Peak learning rate; None for half of the run's. The rate of the routing step keeps its ratio.
        precision: Precision of the file whose latency is measured.
        multiple: Layers keep a multiple of this number of channels.
        overrides: `train.key=value` and `routing.key=value` for the fine-tuning.
        device: Device of the fine-tuning: `auto`, `cpu` or `cuda`.
        threads: CPU threads of the fine-tuning; 0 for torch's number.
        seconds: Duration of the timed iterations of each network; None for that of a quick measurement.
    """

    by: Rule = "routing"
    rounds: int | None = None
    epochs: int = 3
    learning_rate: float | None = None
    precision: FilePrecision = "fp32"
    multiple: int = 8
    overrides: Sequence[str] = ()
    device: str = "auto"
    threads: int = 0
    seconds: float | None = None


@dataclass(frozen=True)
class Stage:
    """The uncompressed network, or a fine-tuned candidate.

    Attributes:
        network: In evaluation mode.
        recipe: Recipe of the network.
        wiring: Wiring of the network.
        run: Its run.
    """

    network: CapsNet
    recipe: Recipe
    wiring: Wiring
    run: Run

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return self.wiring.macs(self.wiring.sizes)


class Tuning:
    """Builds and fine-tunes candidates of one compression.

    Args:
        run: The uncompressed run.
        options: Settings of the compression.
        watch: Called with the name of each fine-tuning; gives the observer of its progress.

    Attributes:
        source: The uncompressed network.
        rounds: The fine-tuned candidates, in their order.

    Raises:
        WrongUse: The run is not finished or does not collapse, or an override is not one of the fine-tuning.
        ModelError: The run is damaged.
        DataError: The run's images cannot be loaded.
    """

    def __init__(self, run: Run, options: Options, watch: Watch) -> None:
        if run.read_record().status != "finished":
            raise WrongUse(f"run '{run.path}' is not finished", f"capsedge train --resume --run {run.path}")
        check_overrides(options.overrides)
        self.options = options
        self.watch = watch
        network, recipe = run.load_best(), run.read_recipe()
        self.dataset = run.load_dataset()
        self.source = Stage(network, recipe, wiring_of(network, self.dataset.shape), run)
        self.rounds: list[Round] = []

    @property
    def name(self) -> str:
        """Name of the new run."""
        return self.source.recipe.name.removesuffix(SUFFIX) + SUFFIX

    def path(self, stage: Stage) -> tuple[list[Counts], Shares]:
        """The steps from a network to the smallest, and the shares that determine them."""
        found = shares(
            stage.network, stage.wiring, self._images, by=self.options.by, seed=self._fine_tuning.train.seed
        )
        return path(stage.wiring, found, multiple=self.options.multiple), found

    def made(self, stage: Stage, counts: Counts, found: Shares) -> tuple[CapsNet, Recipe]:
        """The network of a step, before its fine-tuning, and its recipe."""
        return smaller(
            stage.network,
            stage.recipe,
            stage.wiring,
            kept(counts, found),
            classes=len(self.dataset.classes),
            shape=self.dataset.shape,
        )

    def tuned(self, stage: Stage, counts: Counts, found: Shares, folder: Path, title: str) -> Stage:
        """The network of a step, after its fine-tuning in `folder`."""
        network, recipe = self.made(stage, counts, found)
        recipe = replace(self._fine_tuning, network=recipe.network)
        start = folder.with_suffix(".safetensors")
        save_weights(start, network)
        trainer = Trainer(recipe, self.dataset, Run(folder), device=self.options.device, threads=self.options.threads)
        trainer.start(start)
        share = stage.wiring.macs(counts) / self.source.macs
        try:
            with self.watch(f"{title}: {100 * share:.0f} % of the MACs") as observer:
                trainer.train(observer)
        except Interrupted as stop:
            raise Interrupted(f"interrupted in {title}; no run was written") from stop
        best = trainer.run.load_best()
        tuned = Stage(best, trainer.run.read_recipe(), wiring_of(best, self.dataset.shape), trainer.run)
        self.rounds.append(
            Round(
                counts=dict(counts),
                macs_share=share,
                validation_error=float(self._mistakes(best).mean()),
                change=self.change(tuned),
            )
        )
        return tuned

    def figures(self, stage: Stage, latency_ms: float) -> Figures:
        """Cost and scores of a network."""
        scores = {score.split: score.error for score in stage.run.read_record().scores}
        return Figures(
            parameters=stage.wiring.parameters(stage.wiring.sizes),
            macs=stage.macs,
            latency_ms=latency_ms,
            validation_error=scores["validation"],
            test_error=scores["test"],
        )

    def change(self, stage: Stage) -> Difference:
        """Change of the validation error from that of the source."""
        return paired_difference([self._mistakes(stage.network)], [self._source_mistakes])

    @cached_property
    def _fine_tuning(self) -> Recipe:
        """The source's recipe, with the source as the teacher and a lower learning rate."""
        options, source = self.options, self.source
        factor = (
            FINE_TUNING_RATE
            if options.learning_rate is None
            else options.learning_rate / source.recipe.train.learning_rate
        )
        settings = [
            f"train.epochs={options.epochs}",
            "train.schedule=one-cycle",
            f"train.learning_rate={source.recipe.train.learning_rate * factor}",
            f"routing.learning_rate={source.recipe.routing.learning_rate * factor}",
            "train.precision=auto",
        ]
        recipe = load_recipe(str(source.run.path / "recipe.toml"), [*settings, *options.overrides])
        teachers = (str(source.run.path.resolve()),)
        return replace(recipe, name=self.name, train=replace(recipe.train, teachers=teachers))

    @cached_property
    def _images(self) -> list[torch.Tensor]:
        images, _ = on_device(self.dataset.train.spread(SCORED_IMAGES), torch.device("cpu"))
        return [normalized(batch) for batch in torch.split(images, BATCH)]

    @cached_property
    def _source_mistakes(self) -> NDArray[np.bool_]:
        return self._mistakes(self.source.network)

    def _mistakes(self, network: CapsNet) -> NDArray[np.bool_]:
        """Which validation images get a wrong answer."""
        validation = self.dataset.validation
        lengths = lengths_of(network, validation, torch.device("cpu")).numpy()
        network.eval()
        return wrong_answers(lengths, validation.labels)
