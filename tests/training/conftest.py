"""A data set small enough to train on in a second: real images, few of them."""

import numpy as np
import pytest

from capsedge.data import Dataset, Split, load_dataset


@pytest.fixture(scope="session")
def little() -> Dataset:
    """230 training images of the shipped subset: an uneven last batch at every size used here."""
    whole = load_dataset("fashion-mnist-subset")
    assert isinstance(whole.train, Split)

    def some(split: Split, count: int) -> Split:
        chosen = np.random.RandomState(0).permutation(len(split))[:count]
        return Split(split.images[chosen], split.labels[chosen])

    return Dataset(
        name=whole.name,
        title=whole.title,
        classes=whole.classes,
        train=some(whole.train, 230),
        validation=some(whole.validation, 100),
        test=some(whole.test, 100),
        fit=whole.fit,
        description="230 images of the subset",
        location=whole.location,
        source=whole.source,
    )
