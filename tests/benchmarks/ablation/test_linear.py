"""Linear heads: what they compute and cost, and that their training is the toolkit's with another loss."""

from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from torch import Tensor, nn
from torch.nn.functional import batch_norm, cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.ablation.cost import cost_of
from benchmarks.ablation.heads import heads
from benchmarks.ablation.linear import HeadOutputs, LinearNet, LinearRun, LinearTrainer, equal_width, run_in
from benchmarks.ablation.study import StudyVariant
from benchmarks.robustness.attacks import fgsm
from benchmarks.robustness.measure import under_attack
from benchmarks.robustness.subjects import opened
from capsedge.data import Dataset
from capsedge.errors import Interrupted, WrongUse
from capsedge.models import CapsNet, build_network
from capsedge.recipe import Recipe, load_recipe
from capsedge.training import Run, Trainer, lengths_of
from capsedge.training.batches import normalized as normalized_images
from capsedge.training.batches import on_device
from capsedge.training.checkpoint import save_weights
from capsedge.training.metrics import read_metrics
from tests.benchmarks.ablation.conftest import DATA, TINY
from tests.tiny import Interrupting, Silent

SHAPE = (28, 28, 1)
CASES = {case.name: case for case in heads("edge-nano", ["network.stem=plain"], data="fashion-mnist")}


def network_of(case: StudyVariant) -> CapsNet:
    capsules = build_network(case.recipe, classes=10, shape=SHAPE)
    run = case.run(Path("unused"))
    return run.with_head(capsules) if isinstance(run, LinearRun) else capsules


def normalized(norm: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    nn.init.uniform_(norm.running_mean, -0.5, 0.5)
    nn.init.uniform_(norm.running_var, 0.5, 2.0)
    return batch_norm(
        x, norm.running_mean.double(), norm.running_var.double(), norm.weight.double(), norm.bias.double()
    )


def test_a_linear_network_computes_features_a_hidden_layer_and_the_logarithms_of_softmax() -> None:
    network = network_of(CASES["linear"]).eval()
    assert isinstance(network, LinearNet)
    images = torch.rand(4, 1, 28, 28)
    with torch.no_grad():
        maps = network.stem(images).double()
        conv, (first, norm, _, last) = network.primary.conv, network.head
        assert isinstance(network.primary.norm, nn.Module)
        assert isinstance(first, nn.Linear)
        assert isinstance(last, nn.Linear)
        pointwise = torch.einsum("oi,bihw->bohw", conv.weight[:, :, 0, 0].double(), maps)
        features = normalized(network.primary.norm, pointwise).relu().flatten(1)
        inside = normalized(norm, features @ first.weight.double().T).relu()
        logits = inside @ last.weight.double().T + last.bias.double()

        found = network(images)

    assert isinstance(found, HeadOutputs)
    torch.testing.assert_close(found.primary.double(), features, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        found.lengths.double(), logits - logits.logsumexp(1, keepdim=True), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("name", ["capsules", "linear", "linear-direct"])
def test_a_cost_is_what_torch_counts(name: str) -> None:
    """A plain stem has no branches that export would fold, so the network in torch does what the edge does."""
    network = network_of(CASES[name]).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 1, 28, 28))

    cost = cost_of(network, CASES[name].recipe, SHAPE, classes=10)

    assert 2 * cost.macs == counter.get_total_flops()
    assert cost.parameters == sum(each.numel() for each in network.parameters() if each.ndim > 1)


def test_heads_of_nano_cost_what_their_sides_say() -> None:
    costs = {name: cost_of(network_of(case), case.recipe, SHAPE, classes=10) for name, case in CASES.items()}

    capsules, linear, direct, dynamic = costs.values()
    # 4 types at 4 x 4 positions, 8 components each; 10 classes of 8 components.
    assert capsules.head_shapes == ((64, 8, 10, 8),)
    assert capsules.head_parameters == capsules.head_macs == 64 * 8 * 10 * 8
    # 512 features; a hidden width of 78 has 244 weights fewer, and one of 79 has 278 more.
    assert linear.head_shapes == ((78, 512), (10, 78))
    assert linear.head_parameters == linear.head_macs == 64 * 8 * 10 * 8 - 244
    assert direct.head_parameters == direct.head_macs == 512 * 10
    # Votes, three weighted sums and two agreements.
    assert dynamic.head_macs == 64 * 8 * 10 * 8 + 3 * 64 * 10 * 8 + 2 * 64 * 10 * 8
    assert dynamic.parameters == capsules.parameters
    assert len({each.parameters - each.head_parameters for each in costs.values()}) == 1
    assert len({each.macs - each.head_macs for each in costs.values()}) == 1


def test_routing_without_a_count_is_refused() -> None:
    recipe = load_recipe("fashion-mnist-kl-edge-nano")
    with pytest.raises(WrongUse, match="products of KLRouting are not counted here: use l2 or dynamic"):
        cost_of(build_network(recipe, classes=10, shape=SHAPE), recipe, SHAPE, classes=10)


@pytest.mark.parametrize("direct", [False, True])
def test_a_linear_training_starts_with_the_stem_that_capsules_start_with(
    subset: Dataset, recipe: Recipe, tmp_path: Path, direct: bool
) -> None:
    case = linear_case(direct=direct)
    capsules = Trainer(recipe, subset, case.run(tmp_path), device="cpu").network
    width = equal_width(capsules)
    trainer = case.trainer(case.recipe, subset, case.run(tmp_path), device="cpu")

    for part in ("stem", "primary"):
        ours, theirs = (getattr(each, part).state_dict() for each in (trainer.network, capsules))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert trainer.routing_step is None
    assert isinstance(trainer.network, LinearNet)
    matrices = [tuple(each.shape) for each in trainer.network.head.parameters() if each.ndim > 1]
    assert matrices == ([(10, 128)] if direct else [(width, 128), (10, width)])  # 8 channels at 4 x 4 positions
    decaying = trainer.optimizer.param_groups[1]
    assert decaying["weight_decay"] == recipe.train.weight_decay > 0
    assert {*matrices} <= {tuple(each.shape) for each in decaying["params"]}
    assert trainer.average is not None
    assert isinstance(trainer.average.network, LinearNet)


def test_the_loss_is_cross_entropy(subset: Dataset, tmp_path: Path) -> None:
    case = linear_case()
    trainer = case.trainer(case.recipe, subset, case.run(tmp_path), device="cpu")
    logits, labels = torch.randn(6, 10), torch.tensor([0, 3, 9, 3, 1, 2])
    targets = nn.functional.one_hot(labels, 10).float()

    found = trainer._lengths_loss(HeadOutputs(logits, logits).lengths, targets, None)

    torch.testing.assert_close(found, cross_entropy(logits, labels, reduction="none"))


@pytest.fixture(scope="module")
def finished(subset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    case = linear_case()
    run = case.run(tmp_path_factory.mktemp("linear") / "run")
    trainer = case.trainer(case.recipe, subset, run, device="cpu")
    trainer.start()
    trainer.train(Silent())
    return run


def test_a_linear_run_is_finished_with_the_errors_of_its_best_weights(finished: Run, subset: Dataset) -> None:
    record, network = finished.read_record(), finished.load_best()
    rows = [row for row in read_metrics(finished.metrics) if row["kind"] == "validation"]

    answers = {
        part: lengths_of(network, getattr(subset, part), torch.device("cpu")) for part in ("validation", "test")
    }

    for score in record.scores:
        labels = getattr(subset, score.split).labels
        assert score.error == pytest.approx(float((answers[score.split].argmax(1).numpy() != labels).mean()))
    loss = cross_entropy(answers["validation"], torch.from_numpy(subset.validation.labels)).item()
    assert rows[record.best_epoch - 1]["loss"] == pytest.approx(loss, rel=1e-5)
    assert [row["b"] for row in rows] == [None, None]


def test_an_interrupted_linear_training_goes_on_to_the_same_weights(
    finished: Run, subset: Dataset, tmp_path: Path
) -> None:
    case = linear_case()
    run = case.run(tmp_path / "run")
    trainer = case.trainer(case.recipe, subset, run, device="cpu")
    trainer.start()
    with pytest.raises(Interrupted):
        trainer.train(Interrupting(after=3))
    trainer = case.trainer(case.recipe, subset, run, device="cpu")
    trainer.resume()
    trainer.train(Silent())

    one, other = (each.load_best().state_dict() for each in (finished, run))
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("direct", [False, True])
def test_a_folder_with_a_linear_run_is_one_of_its_head(subset: Dataset, tmp_path: Path, direct: bool) -> None:
    case = linear_case(direct=direct)
    trainer = case.trainer(case.recipe, subset, case.run(tmp_path), device="cpu")
    save_weights(tmp_path / "best.safetensors", trainer.network)

    run = run_in(tmp_path)

    assert isinstance(run, LinearRun)
    assert run.direct is direct
    assert not isinstance(run_in(tmp_path / "absent"), LinearRun)


def test_robustness_attacks_a_linear_run_on_its_cross_entropy_and_reports_probabilities(
    finished: Run, subset: Dataset
) -> None:
    split, network = subset.test.spread(20), finished.load_best()
    images = normalized_images(on_device(split, torch.device("cpu"))[0]).requires_grad_()
    labels = torch.from_numpy(split.labels)
    logarithms = network(images).lengths
    (gradient,) = torch.autograd.grad(cross_entropy(logarithms, labels, reduction="sum"), images)
    with torch.no_grad():
        wanted = network(fgsm(images, gradient, 0.1)).lengths.argmax(1) != labels

    with opened(finished.path) as subject:
        assert subject.network is not None
        found, flat = under_attack(subject.network, split, [0.1], seed=0, tell=lambda _: None, loss=subject.loss)
        lengths = subject.lengths(split.images)

    assert found["fgsm", 0.1].tolist() == wanted.tolist()
    assert flat == 0
    assert subject.routing == "linear head"
    torch.testing.assert_close(torch.from_numpy(lengths), logarithms.detach().exp(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("routing.kind=l2", "expected routing.kind frozen for a linear head, got l2"),
        ("network.decoder=[8]", r"has no decoder, and recipe .* has one: set network\.decoder=\[\]"),
        ('train.teachers=["runs/other"]', "does not support teachers"),
    ],
)
def test_what_a_linear_head_cannot_have_is_refused(
    subset: Dataset, tmp_path: Path, change: str, message: str
) -> None:
    recipe = load_recipe("edge-nano", [*TINY, "routing.kind=frozen", change], data=DATA)
    with pytest.raises(WrongUse, match=message):
        LinearTrainer(recipe, subset, LinearRun(tmp_path), device="cpu")


def test_the_heads_differ_in_nothing_but_the_head() -> None:
    base = CASES["capsules"].recipe
    for case in CASES.values():
        assert replace(case.recipe, name=base.name, routing=base.routing) == base
    assert CASES["dynamic"].recipe.routing == load_recipe("fashion-mnist-dynamic-edge-nano").routing


def test_heads_are_compared_with_the_routing_of_the_paper() -> None:
    with pytest.raises(WrongUse, match=r"expected routing\.kind l2 to compare heads, got frozen in 'edge-nano'"):
        heads("edge-nano", ["routing.kind=frozen"], data="fashion-mnist")


def linear_case(*, direct: bool = False) -> StudyVariant:
    cases = {case.name: case for case in heads("edge-nano", [*TINY, "train.epochs=2"], data=DATA)}
    return cases["linear-direct" if direct else "linear"]
