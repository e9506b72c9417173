"""Recipes: the typed record (`record`), and finding, reading and extending recipe files (`find`)."""

from capsedge.recipe.find import (
    DEFAULT_RECIPE,
    SHIPPED,
    load_recipe,
    parts_of_names,
    read_values,
    shipped_recipes,
    taught,
)
from capsedge.recipe.record import (
    LARGEST_SEED,
    LARGEST_SIDE,
    SMALLEST_SIDE,
    DataRecipe,
    NetworkRecipe,
    Recipe,
    RoutingKind,
    RoutingRecipe,
    TrainingPrecision,
    TrainRecipe,
    from_values,
    to_flat_values,
    to_values,
)

__all__ = [
    "DEFAULT_RECIPE",
    "LARGEST_SEED",
    "LARGEST_SIDE",
    "SHIPPED",
    "SMALLEST_SIDE",
    "DataRecipe",
    "NetworkRecipe",
    "Recipe",
    "RoutingKind",
    "RoutingRecipe",
    "TrainRecipe",
    "TrainingPrecision",
    "from_values",
    "load_recipe",
    "parts_of_names",
    "read_values",
    "shipped_recipes",
    "taught",
    "to_flat_values",
    "to_values",
]
