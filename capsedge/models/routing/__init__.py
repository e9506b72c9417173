"""Routing: how capsules are coupled to the capsules above. Each kind has one file, and all have the same interface.

A routing layer maps u [batch, capsules, dim] to the capsules above, v [batch, classes, class_dim], before squash.
"""

from capsedge.models.routing.backprop import BackpropRouting
from capsedge.models.routing.build import Routing, routing_layer, with_b0
from capsedge.models.routing.dynamic import DynamicRouting
from capsedge.models.routing.em import EMRouting
from capsedge.models.routing.kl import KLRouting
from capsedge.models.routing.objective import RoutingObjective, delta
from capsedge.models.routing.static import StaticRouting

__all__ = [
    "BackpropRouting",
    "DynamicRouting",
    "EMRouting",
    "KLRouting",
    "Routing",
    "RoutingObjective",
    "StaticRouting",
    "delta",
    "routing_layer",
    "with_b0",
]
