"""Whether a training draws every class equally often, and the sentence about it."""

import numpy as np
from numpy.typing import NDArray

from capsedge.data.own import UNEVEN


def is_uneven(labels: NDArray[np.int64]) -> bool:
    """Whether a class of labels [images] has more than `UNEVEN` times the images of another."""
    counts = np.unique(labels, return_counts=True)[1]
    return bool(counts.max() > UNEVEN * counts.min())


def about_balance(labels: NDArray[np.int64], *, balance: bool) -> str:
    """How often a training draws each class.

    Args:
        labels: Of the training images, [images].
        balance: `data.balance` of the recipe.

    Returns:
        A clause, or nothing where the classes are even and `balance` is off.
    """
    if not is_uneven(labels):
        return (
            f"classes are drawn as they are, since none has over {UNEVEN} times the images of another (data.balance)"
            if balance
            else ""
        )
    if not balance:
        return "classes are drawn as they are; data.balance=true draws every class equally often"
    return (
        f"every class is drawn equally often, since one has over {UNEVEN} times the images of another (data.balance)"
    )
