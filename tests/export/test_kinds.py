"""Every kind of routing and every sort of network: trained, exported, accepted, and compared with float64."""

from pathlib import Path

import numpy as np
import pytest

from capsedge.export import export_run
from capsedge.runtime.open import open_session
from capsedge.training import dataset_of
from tests.export.exact import exact_lengths, patchwork, save_pictures
from tests.export.typed_files import verdict_in
from tests.tiny import tiny_recipe, train_tiny

COLLAPSED = {"l2", "l1", "l1 proximal", "frozen", "backprop"}
KINDS = {
    "l2": ("routing.kind=l2", "routing.learning_rate=0.05", "routing.b0=0.5"),
    "l1": ("routing.kind=l1", "routing.learning_rate=0.05", "routing.b0=0.5"),
    "l1 proximal": ("routing.kind=l1", "routing.learning_rate=0.05", "routing.b0=0.5", "routing.proximal=true"),
    "frozen": ("routing.kind=frozen", "routing.b0=0.5"),
    "backprop": ("routing.kind=backprop", "routing.b0=0.5"),
    "dynamic": ("routing.kind=dynamic",),
    "kl": ("routing.kind=kl", "routing.temperature=0.1"),
    "em": ("routing.kind=em", "routing.temperature=0.5", "routing.iterations=2"),
}
NETWORKS = {
    "plain": ("network.decoder=[]",),
    "as for CIFAR-10": (
        "network.decoder=[]",
        "network.padding=same",
        "network.activation=leaky-relu",
        "data.crop=24",
        "data.flip=true",
        "data.brightness=0.2",
        "data.contrast=0.5",
        "data.standardize=true",
    ),
    "uneven zeros": ("network.decoder=[]", "network.padding=same", "network.kernel=4"),
    "hidden capsules": ("network.decoder=[]", "network.hidden=[[6, 4]]"),
    "two hidden layers": ("network.decoder=[]", "network.hidden=[[6, 4], [5, 4]]"),
    "with a decoder": ("network.decoder=[8, 16]",),
    "two labels": ("network.decoder=[8]", "data.overlap=2", "data.epoch_images=48", "data.evaluation_images=20"),
}
# Every kind and every network; most networks with coefficients that stay and with such as each image finds anew.
CASES = [
    ("l2", "plain"),
    ("l2", "two hidden layers"),
    ("l2", "two labels"),
    ("l1", "as for CIFAR-10"),
    ("l1 proximal", "uneven zeros"),
    ("frozen", "hidden capsules"),
    ("backprop", "with a decoder"),
    ("dynamic", "as for CIFAR-10"),
    ("dynamic", "two hidden layers"),
    ("dynamic", "two labels"),
    ("kl", "hidden capsules"),
    ("em", "hidden capsules"),
]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("pictures"), side=32, channels=3)


@pytest.mark.parametrize(("kind", "network"), CASES)
def test_a_trained_network_is_exported_and_gives_its_lengths_at_every_batch(
    kind: str, network: str, pictures: Path, tmp_path: Path
) -> None:
    sizes = ("train.epochs=2", "train.batch_size=24", "routing.sigma=0.5", f"data.source={pictures}")
    as_they_are = ("data.shift=0", "data.flip=false")
    recipe = tiny_recipe(*sizes, *as_they_are, *KINDS[kind], *NETWORKS[network])
    run = train_tiny(tmp_path / "run", recipe, dataset_of(recipe.data))

    exported = export_run(run)

    contract = exported.contract
    assert verdict_in(contract).status == "accepted"
    assert contract.collapsed == (kind in COLLAPSED)
    assert contract.labels == (2 if network == "two labels" else 1)
    images = patchwork(250, contract.input.height, 3, seed=7)
    wanted = exact_lengths(run.load_best(), images)
    assert wanted.std(axis=0).min() > 1e-4  # images that give other lengths, or the comparison says nothing
    close = 3e-5 if contract.collapsed else 2e-4  # routing anew, layer by layer, enlarges what fp32 rounds
    with open_session(exported.path) as session:
        for batch in (1, 2, 7, 250):
            np.testing.assert_allclose(session.run(images[-batch:]).lengths, wanted[-batch:], atol=close)
        np.testing.assert_allclose(session.run(images[:2]).lengths, wanted[:2], atol=close)  # black and white
