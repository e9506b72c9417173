"""The comparison of rules, with a tiny run and latencies that are given."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import compression
from capsedge.compress.latency import Compared, Stopwatch
from capsedge.measure.bench.report import Ratio
from capsedge.models import CapsNet
from capsedge.training import Run, Trainer
from tests.tiny import tiny_recipe, train_tiny


def test_each_rule_is_trained_once_and_compared_with_routing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def compared(self: Stopwatch, before: CapsNet, after: CapsNet) -> Compared:
        return Compared(0.2, 0.1, Ratio(value=0.5))

    monkeypatch.setattr(Stopwatch, "latency_ms", lambda self, network: 0.2)
    monkeypatch.setattr(Stopwatch, "compared", compared)
    source = train_tiny(tmp_path / "tiny", tiny_recipe("train.epochs=1", "network.filters=24"))
    words = ["--keep", "0.7", "--seeds", "3", "--rounds", "1", "--epochs", "1", "--scratch-epochs", "1"]
    words += ["--rules", "scratch", "routing", "taught", "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["compression", str(source.path), *words])
    compression.main()
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [line.split(" | ")[0].strip("| ") for line in table[2:]] == ["routing", "scratch", "taught"]

    records = json.loads((tmp_path / "out" / "compression.json").read_text())
    for rule in ("routing", "scratch", "taught"):
        run, record = Run(tmp_path / "out" / "runs" / f"{rule}-0.7-seed3"), records[f"{rule}-0.7-seed3"]
        assert len(record["wrong"]) == round(1000 * record["test_error"])
        assert run.read_recipe().network == Run(tmp_path / "out" / "runs" / "routing-0.7-seed3").read_recipe().network
        assert run.read_recipe().train.seed == 3
        assert (len(run.read_record().teachers) > 0) == (rule != "scratch")
    less = len(records["scratch-0.7-seed3"]["wrong"]) - len(records["routing-0.7-seed3"]["wrong"])
    (cells,) = [line.split(" | ") for line in table if line.startswith("| scratch")]
    assert float(cells[-1].split()[0]) == pytest.approx(100 * less / 1000)
    both = np.isin(records["scratch-0.7-seed3"]["wrong"], records["routing-0.7-seed3"]["wrong"])
    assert not both.all()  # the difference is of images, and not of counts alone

    monkeypatch.setattr(Trainer, "train", None)  # nothing is left to train
    compression.main()
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")] == table

    monkeypatch.setattr("sys.argv", ["compression", str(source.path), *words, "--epochs", "2"])
    with pytest.raises(SystemExit, match=r"expected 1 rounds of 2 epochs, and .* has 1 of 1: give another --out"):
        compression.main()
