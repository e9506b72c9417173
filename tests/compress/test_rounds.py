"""Whole compressions of a tiny run; where latency does not matter it is a function of the macs."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch

from capsedge.compress import Compression, Keep, MaxErrorIncrease, MaxLatency, Options, Target, compress
from capsedge.compress.latency import Compared, Stopwatch
from capsedge.compress.wiring import wiring_of
from capsedge.data import Dataset
from capsedge.errors import Interrupted, ModelError, WrongUse
from capsedge.export import export_run
from capsedge.measure.bench.report import Ratio
from capsedge.models import CapsNet
from capsedge.runtime.open import open_session
from capsedge.runtime.session import Session
from capsedge.runtime.settings import Settings
from capsedge.scoring import wrong_answers
from capsedge.training import Observer, Run, Trainer, lengths_of
from tests.tiny import Interrupting, Silent, tiny_recipe, train_tiny

OPTIONS = Options(multiple=1, epochs=1, device="cpu")


@contextmanager
def unwatched(_: str) -> Iterator[Observer]:
    yield Silent()


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished L2 run of 8 filters and 3 capsule types."""
    recipe = tiny_recipe("train.epochs=2", "network.capsule_types=3")
    return train_tiny(tmp_path_factory.mktemp("source") / "tiny", recipe)


def timed_by_macs(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A millisecond for each million macs, instead of a measurement; what was asked for is written down."""
    asked: list[float] = []

    def latency(self: Stopwatch, network: CapsNet) -> float:
        wiring = wiring_of(network, self.dataset.shape)
        asked.append(wiring.macs(wiring.sizes) / 1e6)
        return asked[-1]

    def compared(self: Stopwatch, before: CapsNet, after: CapsNet) -> Compared:
        one, other = latency(self, before), latency(self, after)
        return Compared(one, other, Ratio(value=other / one))

    monkeypatch.setattr(Stopwatch, "latency_ms", latency)
    monkeypatch.setattr(Stopwatch, "compared", compared)
    return asked


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return timed_by_macs(monkeypatch)


@pytest.fixture(scope="module")
def halved(source: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Compression]:
    """Half of the source, which stays as it was."""
    before = {file.name: file.read_bytes() for file in source.path.iterdir()}
    with pytest.MonkeyPatch.context() as patch:
        timed_by_macs(patch)
        found = compress(source, Keep(0.5), OPTIONS, tmp_path_factory.mktemp("halved") / "small", watch=unwatched)
    assert {file.name: file.read_bytes() for file in source.path.iterdir()} == before
    return found


@pytest.fixture
def little_dataset(source: Run) -> Dataset:
    return source.load_dataset()


Made = Callable[..., tuple[Run, Compression]]


@pytest.fixture
def made(source: Run, clock: list[float], tmp_path: Path) -> Made:
    """Compress the source into a folder of its own."""

    def run(
        target: Target, options: Options = OPTIONS, folder: str = "small", of: Run = source
    ) -> tuple[Run, Compression]:
        return compress(of, target, options, tmp_path / folder, watch=unwatched)

    return run


def macs(run: Run) -> int:
    wiring = wiring_of(run.load_best(), run.read_record().shape)
    return wiring.macs(wiring.sizes)


def error(run: Run) -> float:
    validation = run.load_dataset().validation
    lengths = lengths_of(run.load_best(), validation, torch.device("cpu"))
    return float(wrong_answers(lengths.numpy(), validation.labels).mean())


def test_the_result_is_a_finished_run_that_says_what_it_is(source: Run, halved: tuple[Run, Compression]) -> None:
    run, record = halved
    assert macs(run) <= 0.5 * macs(source)
    assert run.read_record().status == "finished"
    recipe, whole = run.read_recipe(), source.read_recipe()
    assert recipe.name == f"{whole.name}-compressed"
    assert recipe.data == whole.data
    assert recipe.train.teachers == (str(source.path.resolve()),)
    assert (recipe.train.epochs, recipe.train.schedule) == (1, "one-cycle")
    assert recipe.train.learning_rate == pytest.approx(whole.train.learning_rate / 2)
    assert recipe.routing.learning_rate == pytest.approx(whole.routing.learning_rate / 2)
    names = {file.name for file in run.path.iterdir()}
    wanted = {"recipe.toml", "run.json", "metrics.jsonl", "best.safetensors", "last.safetensors", "compression.json"}
    assert names == wanted
    assert msgspec.json.decode((run.path / "compression.json").read_bytes(), type=Compression) == record


def test_the_record_holds_what_the_two_networks_give(source: Run, halved: tuple[Run, Compression]) -> None:
    run, record = halved
    assert record.target == {"keep": 0.5}
    assert record.source == str(source.path.resolve())
    for figures, each in ((record.before, source), (record.after, run)):
        assert figures.macs == macs(each)
        assert figures.validation_error == pytest.approx(error(each))
        assert figures.test_error == each.read_record().scores[1].error
    assert record.change.mean == pytest.approx(error(run) - error(source))
    assert record.latency_ratio.value == pytest.approx(macs(run) / macs(source))
    assert [each.macs_share <= 0.5 ** (number / 2) for number, each in enumerate(record.rounds, 1)] == [True, True]
    last = record.rounds[-1]
    assert (last.validation_error, last.change) == (record.after.validation_error, record.change)
    assert last.counts == wiring_of(run.load_best(), (28, 28, 1)).sizes


def test_the_result_exports_and_compresses_again(made: Made, halved: tuple[Run, Compression], tmp_path: Path) -> None:
    run = Run(shutil.copytree(halved[0].path, tmp_path / "run"))
    contract = export_run(run).contract
    assert contract.verdict is not None
    assert contract.verdict.status == "accepted"
    again, record = made(Keep(0.6), folder="smaller", of=run)
    assert again.read_recipe().name == run.read_recipe().name
    assert record.before.macs == macs(run)
    assert macs(again) <= 0.6 * macs(run)


def test_the_latency_that_is_asked_for_is_kept_and_the_next_larger_network_has_more(
    source: Run, made: Made, clock: list[float]
) -> None:
    limit = 0.6 * macs(source) / 1e6
    run, record = made(MaxLatency(limit), replace(OPTIONS, rounds=1))
    taken = record.after.latency_ms
    assert taken == macs(run) / 1e6 <= limit
    above = [each for each in clock if limit < each]
    assert not [each for each in clock if taken < each <= limit]
    assert min(above) < 1.35 * taken  # one capsule type or a filter or two more
    assert len(record.rounds) == 1


def test_the_rounds_divide_the_way_evenly(source: Run, made: Made) -> None:
    _, record = made(Keep(0.25), replace(OPTIONS, rounds=3))
    shares = [each.macs_share for each in record.rounds]
    assert shares == sorted(shares, reverse=True)
    for number, share in enumerate(shares, 1):
        assert 0.5 * 0.25 ** (number / 3) < share <= 0.25 ** (number / 3)


def test_the_search_takes_smaller_networks_as_long_as_the_error_lets_it(source: Run, made: Made) -> None:
    run, record = made(MaxErrorIncrease(1.0), replace(OPTIONS, rounds=2))
    shares = [each.macs_share for each in record.rounds]
    assert all(each.taken for each in record.rounds)
    assert shares[0] <= 0.5
    assert shares[1] <= shares[0] / 2
    assert macs(run) == pytest.approx(shares[1] * macs(source))


def test_the_search_goes_back_where_the_error_grew_too_much(
    source: Run, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less than 40 % of the macs is said to cost 5 points, so the search closes in on that from both sides."""
    from capsedge.compress.tuning import Stage, Tuning
    from capsedge.statistics import Difference

    def change(tuning: Tuning, stage: Stage) -> Difference:
        mean = 0.05 if stage.macs < 0.4 * macs(source) else 0.0
        return Difference(mean, mean, mean)

    monkeypatch.setattr(Tuning, "change", change)
    run, record = made(MaxErrorIncrease(0.01), replace(OPTIONS, rounds=6))
    assert [each.taken for each in record.rounds] == [each.macs_share >= 0.4 for each in record.rounds]
    taken = [each.macs_share for each in record.rounds if each.taken]
    assert macs(run) == pytest.approx(min(taken) * macs(source))
    assert {True, False} == {each.taken for each in record.rounds}
    tried = [tuple(each.counts.items()) for each in record.rounds]
    assert len(set(tried)) == len(tried)


def test_no_network_that_is_good_enough_is_an_error_that_says_how_near_it_came(made: Made, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"within -100 points: the best of 1 has \d+ % of the MACs and loses -?\d"):
        made(MaxErrorIncrease(-1.0), replace(OPTIONS, rounds=1))
    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            MaxLatency(1000.0),
            r"has a latency of [\d.]+ ms \(fp32\) already, and the target is a latency of 1000\.000 ms .* nothing",
        ),
        (MaxLatency(1e-6), r"smallest network .* has a latency of [\d.]+ ms .*train a smaller recipe"),
        (Keep(1e-6), r"smallest network .* has [\d.]+ % of the MACs, and the target is 0\.0 %"),
    ],
)
def test_a_target_that_is_met_or_out_of_reach_is_told_before_any_training(
    target: Target, said: str, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "train", None)
    with pytest.raises(WrongUse, match=said):
        made(target)
    assert not (tmp_path / "small").exists()


def test_ctrl_c_leaves_nothing(source: Run, clock: list[float], tmp_path: Path) -> None:
    @contextmanager
    def watch(title: str) -> Iterator[Observer]:
        yield Interrupting(3) if title.startswith("round 2") else Silent()

    with pytest.raises(Interrupted, match="interrupted in round 2 of 2; no run was written"):
        compress(source, Keep(0.3), OPTIONS, tmp_path / "small", watch=watch)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_that_was_there_stays(source: Run, made: Made, tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    with pytest.raises(WrongUse):
        made(MaxLatency(1000.0))
    assert list((tmp_path / "small").iterdir()) == []


def test_without_a_folder_the_run_goes_beside_the_others_under_its_name(
    source: Run, clock: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("fashion-mnist-l2-small-compressed", "fashion-mnist-l2-small-compressed-2"):
        run, _ = compress(source, Keep(0.5), replace(OPTIONS, rounds=1), watch=unwatched)
        assert run.path == Path("runs", name)


def test_an_unfinished_run_is_refused(made: Made, tmp_path: Path, little_dataset: Dataset) -> None:
    run = Run(tmp_path / "begun")
    Trainer(tiny_recipe(), little_dataset, run, device="cpu").start()
    with pytest.raises(WrongUse, match=r"begun' is not finished: capsedge train --resume --run .*begun"):
        made(Keep(0.5), of=run)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("network.filters=4", r"^expected train\.\* or routing\.\*.*got 'network.filters=4'"),
        ("nonsense", r"^expected train\.\* or routing\.\*.*got 'nonsense'"),
        ("routing.kind=dynamic", "routing.kind is not for the fine-tuning: its routing is that of the run"),
        ('train.teachers=["a"]', "train.teachers is not for the fine-tuning: its teacher is the run itself"),
    ],
)
def test_what_is_no_setting_of_a_fine_tuning_is_refused(override: str, line: str, made: Made) -> None:
    with pytest.raises(WrongUse, match=line):
        made(Keep(0.5), replace(OPTIONS, overrides=(override,)))


def test_a_folder_with_files_is_refused(made: Made, tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "mine").touch()
    with pytest.raises(WrongUse, match=r"--output '.*small' is not an empty folder"):
        made(Keep(0.5))
    assert (tmp_path / "small" / "mine").exists()


def test_what_a_killed_training_left_in_a_folder_is_not_in_the_way(made: Made, tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    for name in (".lock", "recipe.toml"):
        (tmp_path / "small" / name).touch()
    with pytest.raises(WrongUse, match="not for the fine-tuning"):  # a later refusal than that of the folder
        made(Keep(0.5), replace(OPTIONS, overrides=("routing.kind=dynamic",)))


def test_settings_of_the_fine_tuning_are_taken(made: Made) -> None:
    options = replace(
        OPTIONS, rounds=1, learning_rate=1e-4, overrides=("train.distillation=0.25", "train.batch_size=200")
    )
    run, _ = made(Keep(0.5), options)
    train = run.read_recipe().train
    assert (train.learning_rate, train.distillation, train.batch_size) == (1e-4, 0.25, 200)


def test_a_fine_tuning_starts_from_the_weights_that_were_kept(source: Run, made: Made) -> None:
    """At a rate of nearly nothing it ends there, too."""
    run, record = made(Keep(0.4), replace(OPTIONS, rounds=1, learning_rate=1e-12))
    whole, small = source.load_best(), run.load_best()
    filters = whole.get_submodule("stem.conv").get_parameter("weight")
    for kernel in small.get_submodule("stem.conv").get_parameter("weight"):
        assert min((kernel - each).abs().max().item() for each in filters) < 1e-6
    assert record.after.validation_error < 0.7  # and not what a random start has


def test_by_random_the_seed_of_the_fine_tuning_chooses_what_is_dropped(source: Run, made: Made) -> None:
    filters = source.load_best().get_submodule("stem.conv").get_parameter("weight")
    kept = []
    for seed in (1, 2):
        options = replace(OPTIONS, by="random", rounds=1, learning_rate=1e-12, overrides=(f"train.seed={seed}",))
        small = made(Keep(0.4), options, f"seed-{seed}")[0].load_best()
        kernels = small.get_submodule("stem.conv").get_parameter("weight")
        kept.append([int((filters - kernel).abs().amax((1, 2, 3)).argmin()) for kernel in kernels])
    assert kept[0] != kept[1]


def test_where_nothing_can_be_dropped_it_is_said(made: Made) -> None:
    with pytest.raises(WrongUse, match="nothing can be pruned from"):
        made(MaxErrorIncrease(0.01), replace(OPTIONS, multiple=64))


def test_a_latency_is_that_of_a_file_of_the_precision_on_one_thread(
    source: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from capsedge.compress import latency

    opened: list[tuple[bool, int]] = []

    def noted(file: Path, settings: Settings) -> Session:
        opened.append((b"DequantizeLinear" in file.read_bytes(), settings.threads))
        return open_session(file, settings)

    monkeypatch.setattr(latency, "open_session", noted)
    network = source.load_best()
    alone = Stopwatch(source.load_dataset(), "fp32", seconds=0.02).latency_ms(network)
    before, after, ratio, warnings = Stopwatch(source.load_dataset(), "int8", seconds=0.02).compared(network, network)
    assert opened == [(False, 1), (True, 1), (True, 1)]
    assert all(0 < each < 1000 for each in (alone, before, after))
    assert ratio.value == pytest.approx(after / before, rel=0.5)
    assert not {"quick", "few-iterations"} & {each.code for each in warnings}, (
        "compress has no --quick, no percentiles"
    )
    assert {each.case for each in warnings} <= {"before", "after", None}, "a temporary file says nothing to a user"
