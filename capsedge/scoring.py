"""When an answer is right: the longest capsules are those of the image's classes, all of them and no other."""

import numpy as np
from numpy.typing import NDArray


def longest(lengths: NDArray[np.floating], count: int) -> NDArray[np.intp]:
    """The classes of the longest capsules.

    Args:
        lengths: [images, classes].
        count: How many of each image.

    Returns:
        [images, count], longest first; of two capsules of one length the first class wins, as argmax has it.
    """
    return np.argsort(-lengths, axis=1, kind="stable")[:, :count]


def wrong_answers(lengths: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which images get a wrong answer.

    With one class an image that is top-1 error; with two it is the exact match of the two longest (Sabour et al.
    2017, section 6).

    Args:
        lengths: Capsule lengths, [images, classes].
        labels: [images], or [images, labels] where there are several classes in an image.

    Returns:
        [images].
    """
    wanted = labels.reshape(len(labels), -1)
    given = longest(lengths, wanted.shape[1])
    wrong: NDArray[np.bool_] = (np.sort(given, axis=1) != np.sort(wanted, axis=1)).any(axis=1)
    return wrong


def confusion(lengths: NDArray[np.floating], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Images by their class (row) and the answer (column), [classes, classes].

    Args:
        lengths: Capsule lengths, [images, classes].
        labels: The class of each image, [images].
    """
    classes = lengths.shape[1]
    counts: NDArray[np.int64] = np.bincount(labels * classes + longest(lengths, 1)[:, 0], minlength=classes**2)
    return counts.reshape(classes, classes)


def balanced_error(counts: NDArray[np.int64]) -> float:
    """The mean over the classes of the share of their images that got a wrong answer.

    Classes without images are left out.

    Args:
        counts: Images by their class and by their answer, [classes, classes].
    """
    images = counts.sum(1)
    there = images > 0
    return float((1 - counts.diagonal()[there] / images[there]).mean())


def never_answered(counts: NDArray[np.int64]) -> NDArray[np.intp]:
    """The classes that have images and are no image's answer.

    Args:
        counts: Images by their class and by their answer, [classes, classes].
    """
    return np.flatnonzero((counts.sum(1) > 0) & (counts.sum(0) == 0))
