"""Scoring: an answer is right if the longest capsules are exactly those of the image's classes.

An image with a length that is not finite (infinity or NaN) has no answer, which counts as a wrong one.
"""

from math import comb

import numpy as np
from numpy.typing import NDArray


def answered(lengths: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Mark the images whose lengths are all finite, [images].

    Args:
        lengths: [images, classes].
    """
    finite: NDArray[np.bool_] = np.isfinite(lengths).all(axis=1)
    return finite


def longest(lengths: NDArray[np.floating], count: int) -> NDArray[np.intp]:
    """The classes of the longest capsules.

    Args:
        lengths: [images, classes].
        count: Number of classes for each image.

    Returns:
        [images, count], longest first; of two capsules of equal length the first class wins, as in argmax, and NaN
        comes last.
    """
    return np.argsort(-lengths, axis=1, kind="stable")[:, :count]


def wrong_answers(lengths: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark the images with a wrong answer.

    With one class in an image, this is the top-1 error; with two, the two longest capsules must match exactly (Sabour
    et al. 2017, section 6). An image without an answer (`answered`) is marked.

    Args:
        lengths: Capsule lengths, [images, classes].
        labels: [images], or [images, labels] if an image has several classes.

    Returns:
        [images].
    """
    wanted = labels.reshape(len(labels), -1)
    given = longest(lengths, wanted.shape[1])
    wrong: NDArray[np.bool_] = (np.sort(given, axis=1) != np.sort(wanted, axis=1)).any(axis=1)
    return wrong | ~answered(lengths)


def chance_error(classes: int, labels: int) -> float:
    """The error of random answers.

    Args:
        classes: Number of classes.
        labels: Classes in an image.
    """
    return 1 - 1 / comb(classes, labels)


def confusion(lengths: NDArray[np.floating], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count images by their class (row) and the answer (column), [classes, classes].

    Images without an answer (`answered`) are left out.

    Args:
        lengths: Capsule lengths, [images, classes].
        labels: The class of each image, [images].
    """
    classes, kept = lengths.shape[1], answered(lengths)
    places = labels[kept] * classes + longest(lengths[kept], 1)[:, 0]
    counts: NDArray[np.int64] = np.bincount(places, minlength=classes**2)
    return counts.reshape(classes, classes)


def balanced_error(counts: NDArray[np.int64], images: NDArray[np.int64] | None = None) -> float:
    """Balanced error: the mean over the classes of each class's error.

    Classes without images are left out.

    Args:
        counts: Images by their class and by their answer, [classes, classes].
        images: Images of each class, [classes]; None if all have an answer.
    """
    images = counts.sum(1) if images is None else images
    present = images > 0
    return float((1 - counts.diagonal()[present] / images[present]).mean())


def never_answered(counts: NDArray[np.int64], images: NDArray[np.int64] | None = None) -> NDArray[np.intp]:
    """Classes that have images, but are the answer for none.

    Args:
        counts: Images by their class and by their answer, [classes, classes].
        images: Images of each class, [classes]; None if all have an answer.
    """
    images = counts.sum(1) if images is None else images
    return np.flatnonzero((images > 0) & (counts.sum(0) == 0))
