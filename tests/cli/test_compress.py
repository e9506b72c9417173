"""`capsedge compress` as a person types it."""

import shutil
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from capsedge.cli import console
from capsedge.compress import Compression
from capsedge.compress.latency import Compared, Stopwatch
from capsedge.measure.bench.report import BenchWarning, Ratio
from capsedge.models import CapsNet
from capsedge.training import Run
from tests.cli.conftest import one_line
from tests.in_process import Capsedge, in_this_process
from tests.tiny import tiny_recipe, train_tiny

QUICK = ("--epochs", "1", "--rounds", "1", "--multiple", "1", "--device", "cpu")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_tiny(tmp_path_factory.mktemp("source") / "tiny", tiny_recipe("train.epochs=1"))


@pytest.fixture
def capsedge(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Capsedge:
    """The command in this process, in an empty folder; latencies are given, not measured."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console.out, "_width", 100)

    def compared(self: Stopwatch, before: CapsNet, after: CapsNet) -> Compared:
        busy = BenchWarning(code="busy", text="the load is 9")
        return Compared(0.2, 0.123, Ratio(value=0.615, low=0.6, high=0.63), (busy,))

    monkeypatch.setattr(Stopwatch, "latency_ms", lambda self, network: 0.2)
    monkeypatch.setattr(Stopwatch, "compared", compared)
    return in_this_process(capsys, monkeypatch)


def test_it_shows_both_networks_and_the_next_command(source: Run, capsedge: Capsedge, tmp_path: Path) -> None:
    done = capsedge("compress", str(source.path), "--keep", "0.5", "--precision", "int8", *QUICK)
    assert done.returncode == 0, done.stderr
    folder = "runs/fashion-mnist-l2-small-compressed"
    record = msgspec.json.decode((tmp_path / folder / "compression.json").read_bytes(), type=Compression)
    for figures in (record.before, record.after):
        assert f"{figures.parameters:,}" in done.stdout
        assert f"{figures.macs:,}" in done.stdout
        assert f"{100 * figures.validation_error:.2f} %" in done.stdout
        assert f"{100 * figures.test_error:.2f} %" in done.stdout
    assert "0.200 ms" in done.stdout
    assert "0.123 ms" in done.stdout
    assert "x 0.61 (0.60 to 0.63)" in done.stdout
    widths = ", ".join(f"{name} {count}" for name, count in record.rounds[0].counts.items())
    assert f"1: {100 * record.rounds[0].macs_share:.0f} % of the MACs, validation error" in done.stdout
    assert widths in done.stdout
    assert f"next: capsedge export {folder} --precision int8" in done.stderr
    assert "round 1 of 1: " in done.stderr
    assert "note: the load is 9" in done.stderr


def test_json_is_all_that_stdout_holds(source: Run, capsedge: Capsedge) -> None:
    done = capsedge("compress", str(source.path), "--keep", "0.5", "--output", "small", "--json", *QUICK)
    assert done.returncode == 0, done.stderr
    said = msgspec.json.decode(done.stdout)
    assert said.pop("run") == "small"
    assert msgspec.convert(said, Compression).target == {"keep": 0.5}
    assert "epoch" not in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("", 2, "expected one target, got 0: give --keep SHARE, --max-latency-ms MS or --max-error-increase"),
        ("--keep 0.5 --max-latency-ms 1", 2, "expected one target, got 2: give"),
        ("--keep 0", 2, "--keep: expected a number above 0"),
        ("--max-latency-ms 0", 2, "--max-latency-ms: expected a number above 0"),
        ("nowhere --keep 0.5", 1, "'nowhere' is not a run"),
        ("--keep 0.5", 1, "there is no finished run in 'runs/'"),
    ],
)
def test_a_mistake_is_one_line(words: str, code: int, said: str, capsedge: Capsedge) -> None:
    assert said in one_line(capsedge("compress", *words.split()), code)


def test_a_run_whose_images_are_gone_is_told_in_one_line(source: Run, capsedge: Capsedge, tmp_path: Path) -> None:
    run = Run(shutil.copytree(source.path, tmp_path / "moved"))
    run.write_record(replace(run.read_record(), data_source="/nowhere/x"))
    for command in (["compress", "moved", "--keep", "0.5"], ["export", "moved"]):
        said = capsedge(*command)
        assert said.returncode == 1
        last = said.stderr.splitlines()[-1]
        assert last.startswith("capsedge: run 'moved' was trained on Fashion-MNIST")
        assert "and its data '/nowhere/x' cannot be loaded: there is no file or folder '/nowhere/x'" in last


def test_a_latency_that_the_run_has_already_is_told_in_one_line(source: Run, capsedge: Capsedge) -> None:
    said = capsedge("compress", str(source.path), "--max-latency-ms", "0.3")
    assert said.returncode == 2
    assert "has a latency of 0.200 ms (fp32) already" in said.stderr.splitlines()[-1]


def test_dynamic_routing_is_refused_in_one_line(capsedge: Capsedge, tmp_path: Path) -> None:
    recipe = tiny_recipe("train.epochs=1", "network.filters=4", base="fashion-mnist-dynamic-small")
    run = train_tiny(tmp_path / "dynamic", recipe)
    said = capsedge("compress", str(run.path), "--keep", "0.5")
    assert said.returncode == 2
    assert "compress needs routing whose coefficients are constant after training" in said.stderr.splitlines()[-1]
    assert not (tmp_path / "runs").exists()
