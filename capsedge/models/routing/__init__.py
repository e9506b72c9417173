"""Routing: how primary capsules are coupled to class capsules; one file a kind, one interface.

A routing layer maps u [batch, capsules, dim] to the class capsules v [batch, classes, class_dim] before squash.
"""

from capsedge.models.routing.dynamic import DynamicRouting
from capsedge.models.routing.objective import Penalty, delta, objective, objective_gradient
from capsedge.models.routing.static import StaticRouting

Routing = StaticRouting | DynamicRouting

__all__ = [
    "DynamicRouting",
    "Penalty",
    "Routing",
    "StaticRouting",
    "delta",
    "objective",
    "objective_gradient",
]
