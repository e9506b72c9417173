"""The paper's table and figures, on the data and in the time that are available.

Names are imported on first use, so that a wrong option is refused without torch.
"""

from typing import TYPE_CHECKING

from capsedge.lazy import looked_up
from capsedge.statistics import mean_and_spread, paired_difference

if TYPE_CHECKING:
    from capsedge.reproduce.capsule_lengths import fig1
    from capsedge.reproduce.convergence import fig3
    from capsedge.reproduce.figures import redraw, save_figure
    from capsedge.reproduce.reconstructions import fig2
    from capsedge.reproduce.results import table2
    from capsedge.reproduce.step_times import fig4
    from capsedge.reproduce.trainings import TrainingSettings, trained

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

__getattr__ = looked_up(
    __name__,
    {
        "TrainingSettings": "trainings",
        "fig1": "capsule_lengths",
        "fig2": "reconstructions",
        "fig3": "convergence",
        "fig4": "step_times",
        "redraw": "figures",
        "save_figure": "figures",
        "table2": "results",
        "trained": "trainings",
    },
)
