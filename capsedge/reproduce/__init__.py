"""The paper's table and figures, on the data and in the time that are available."""

from capsedge.reproduce.capsule_lengths import fig1
from capsedge.reproduce.convergence import fig3
from capsedge.reproduce.figures import redraw, save_figure
from capsedge.reproduce.reconstructions import fig2
from capsedge.reproduce.results import table2
from capsedge.reproduce.step_times import fig4
from capsedge.reproduce.trainings import TrainingSettings, trained
from capsedge.statistics import mean_and_spread, paired_difference

__all__ = [
    "TrainingSettings",
    "fig1",
    "fig2",
    "fig3",
    "fig4",
    "mean_and_spread",
    "paired_difference",
    "redraw",
    "save_figure",
    "table2",
    "trained",
]
