"""Which precision `auto` becomes, that a run keeps it, and that what bf16 costs is measured and changes nothing."""

import os
import platform
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file

from capsedge.data import Dataset
from capsedge.errors import Interrupted
from capsedge.processor import instruction_sets
from capsedge.recipe import Recipe
from capsedge.training import Run, Trainer
from capsedge.training.precision import PrecisionChoice, _within, choose_precision
from tests.tiny import Interrupting, Silent, tiny_recipe
from tests.training.residual import residual_recipe

CPU = torch.device("cpu")
HASWELL = ("sse4_1", "avx2")
CASCADE_LAKE = ("sse4_1", "avx2", "avx512f", "avx512_vnni")
ZEN_5 = (*HASWELL, "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16")
SAPPHIRE_RAPIDS = (*HASWELL, "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
X86 = platform.machine().lower() in ("x86_64", "amd64")


class Become:
    """Stands in for another processor: its instruction sets, and whether oneDNN uses those for bf16."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patch = monkeypatch

    def __call__(self, sets: tuple[str, ...] | Literal["unavailable"], *, onednn: bool = True) -> None:
        self.patch.setattr("capsedge.processor.instruction_sets", lambda: sets)
        self.patch.setattr("capsedge.training.precision._onednn_takes_bf16", lambda: onednn)


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Become:
    return Become(monkeypatch)


@pytest.mark.parametrize(
    ("sets", "onednn", "precision", "units", "instructions"),
    [
        ((), False, "fp32", "absent", ""),
        (HASWELL, False, "fp32", "absent", ""),  # and Zen 3
        (CASCADE_LAKE, True, "fp32", "absent", ""),  # oneDNN takes bf16 there, and emulates it
        (ZEN_5, True, "bf16", "used", "avx512_bf16"),
        (SAPPHIRE_RAPIDS, True, "bf16", "used", "amx_bf16"),
        (SAPPHIRE_RAPIDS, False, "fp32", "unused", "amx_bf16"),  # ONEDNN_MAX_CPU_ISA=AVX2
        (("asimd",), False, "fp32", "absent", ""),  # Cortex-A72
        (("asimd", "asimddp", "i8mm", "sve", "bf16"), True, "bf16", "used", "bf16"),  # Neoverse V1
        ("unavailable", True, "fp32", "unknown", ""),
    ],
)
def test_auto_is_bf16_where_the_processor_has_the_units_and_torch_uses_them(
    sets: tuple[str, ...] | Literal["unavailable"],
    onednn: bool,
    precision: str,
    units: str,
    instructions: str,
    processor: Become,
) -> None:
    processor(sets, onednn=onednn)
    choice = choose_precision("auto", CPU)
    assert (choice.precision, choice.units, choice.instructions) == (precision, units, instructions)
    assert [choose_precision(asked, CPU).precision for asked in ("fp32", "bf16")] == ["fp32", "bf16"]


def test_an_environment_that_holds_onednn_back_is_noticed() -> None:
    """The same processor with oneDNN held to AVX2 and without, each in a process of its own."""
    units = set(instruction_sets()) & {"avx512_bf16", "amx_bf16"}
    if not units:
        pytest.skip("this processor has no bf16 instructions to hold back")
    ask = "import torch; from capsedge.training.precision import choose_precision as choose; "
    ask += "print(choose('auto', torch.device('cpu')).units)"
    said = [
        subprocess.run(
            [sys.executable, "-c", ask],
            env=os.environ | {"ONEDNN_MAX_CPU_ISA": isa},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for isa in ("ALL", "AVX2")
    ]
    assert said == ["used", "unused"]


@pytest.mark.parametrize(("units", "precision"), [(True, "bf16"), (False, "fp32")])
def test_auto_on_a_gpu_is_bf16_where_torch_says_that_it_is_not_emulated(
    units: bool, precision: str, monkeypatch: pytest.MonkeyPatch, processor: Become
) -> None:
    processor(HASWELL if units else ZEN_5)  # the processor has no say
    asked: list[bool] = []

    def is_bf16_supported(including_emulation: bool = True) -> bool:
        asked.append(including_emulation)
        return units

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    choice = choose_precision("auto", torch.device("cuda", 0))
    assert (choice.precision, choice.device, choice.instructions) == (precision, "cuda", "")
    assert asked == [False]


def begun(recipe: Recipe, data: Dataset, path: Path) -> Trainer:
    trainer = Trainer(recipe, data, Run(path), device="cpu")
    trainer.start()
    return trainer


def same_bits(one: Run, other: Run) -> bool:
    first, second = load_file(one.last), load_file(other.last)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_a_run_says_what_auto_became_and_goes_on_in_it_on_another_processor(
    little: Dataset, tmp_path: Path, processor: Become
) -> None:
    whole = begun(tiny_recipe("train.precision=bf16"), little, tmp_path / "whole")
    whole.train(Silent())

    processor(ZEN_5)
    recipe = tiny_recipe("train.precision=auto")
    trainer = begun(recipe, little, tmp_path / "parts")
    run = trainer.run
    assert trainer.precision == PrecisionChoice(
        precision="bf16", asked="auto", device="cpu", units="used", instructions="avx512_bf16"
    )
    assert run.read_recipe().train.precision == trainer.recipe.train.precision == "bf16"
    with pytest.raises(Interrupted):
        trainer.train(Interrupting(2))

    processor(HASWELL)
    resumed = Trainer(run.read_recipe(), little, run, device="cpu")
    resumed.resume()
    assert resumed.precision.precision == "bf16"
    resumed.train(Silent())
    assert same_bits(whole.run, run)
    fp32 = begun(recipe, little, tmp_path / "fp32")
    assert fp32.run.read_recipe().train.precision == "fp32"
    fp32.train(Silent())
    assert not same_bits(fp32.run, run), "the precision reached the convolutions"


@pytest.mark.parametrize("kind", ["l2", "em", "normalized"])
def test_measuring_what_bf16_costs_changes_no_number(
    kind: str, little: Dataset, tmp_path: Path, processor: Become
) -> None:
    processor(HASWELL, onednn=False)
    changes = ("train.precision=bf16", "train.epochs=1", "network.decoder=[16]", "data.shift=1")
    if kind == "normalized":  # running statistics and dropout's random numbers are numbers, too
        recipe = residual_recipe(*changes, "network.dropout=0.3")
    else:
        recipe = tiny_recipe(*changes, base=f"fashion-mnist-{kind}-small")
    without, measured = (begun(recipe, little, tmp_path / name) for name in ("without", "measured"))
    torch.manual_seed(1)
    without.train(Silent())
    torch.manual_seed(1)
    state = torch.get_rng_state()
    tensors = {name: each.clone() for name, each in measured.network.state_dict().items()}
    for _ in range(2):
        cost = measured.cost_of_bf16()
        assert cost is not None
        assert cost.times_fp32 > 0
        assert 1 <= cost.images <= 64
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(each, tensors[name]) for name, each in measured.network.state_dict().items())
    assert all(weight.grad is None for weight in measured.network.parameters())
    assert measured.network.training
    measured.train(Silent())
    assert same_bits(without.run, measured.run)


def test_nothing_is_measured_where_bf16_costs_nothing(little: Dataset, tmp_path: Path, processor: Become) -> None:
    processor(ZEN_5)
    assert Trainer(tiny_recipe("train.precision=bf16"), little, Run(tmp_path), device="cpu").cost_of_bf16() is None
    processor(HASWELL)
    assert Trainer(tiny_recipe("train.precision=fp32"), little, Run(tmp_path), device="cpu").cost_of_bf16() is None


def test_the_measurement_takes_more_images_while_the_time_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock on which an image takes 10 ms: 1, 4 and 16 images take 0.21 s, and the next 64 would take 0.64 s."""

    class Clock:
        now = 0.0

        def perf_counter(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr("capsedge.training.precision.time", clock)
    counts: list[int] = []

    def measure(count: int, seconds: float = 0.01) -> float:
        counts.append(count)
        clock.now += seconds * count
        return seconds

    assert _within(0.5, measure, first=1, most=1000) == (16, 0.01)
    assert counts == [1, 4, 16]
    assert _within(0.5, measure, first=1, most=15) == (4, 0.01)
    assert _within(0.5, lambda count: measure(count, 0.3), first=1, most=1000) == (1, 0.3)
    assert clock.now == pytest.approx(0.21 + 0.05 + 0.3)


COST = """
import torch
from pathlib import Path
from capsedge.recipe import load_recipe
from capsedge.training import Run, Trainer, dataset_of
torch.set_num_threads(1)
recipe = load_recipe("fashion-mnist-l2-small", ["data.source=fashion-mnist-subset", "train.batch_size=64",
    "network.filters=32", "network.capsule_types=4", "train.precision=bf16"])
trainer = Trainer(recipe, dataset_of(recipe.data), Run(Path("unused")), device="cpu")
print(trainer.cost_of_bf16().times_fp32)
"""


def test_bf16_is_measured_as_the_slower_one_where_torch_computes_it_itself() -> None:
    """oneDNN held to AVX2 leaves bf16 to torch's own code, as on a processor without AVX-512: 9 times as slow."""
    if not X86:
        pytest.skip("the environment variable is of x86")
    slow = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", COST], env=slow, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 1.5


RANKS = """
import os, sys
from pathlib import Path
import capsedge.processor
kinds = {"0": ("sse4_1", "avx2"), "1": ("sse4_1", "avx2", "avx512f", "avx512_bf16")}
capsedge.processor.instruction_sets = lambda: kinds[os.environ["RANK"]]
import capsedge.training.precision
capsedge.training.precision._onednn_takes_bf16 = lambda: True
from capsedge.training import Run, Trainer, dataset_of, launch
from tests.tiny import tiny_recipe
recipe = tiny_recipe("train.precision=auto")
trainer = Trainer(recipe, dataset_of(recipe.data), Run(Path("unused")), devices=launch("cpu"))
line = f"rank {os.environ['RANK']}: {trainer.precision.precision}, {trainer.recipe.train.precision}\\n"
os.write(1, line.encode())  # whole, beside the other rank's
"""


def test_all_devices_compute_in_what_the_first_one_chose(tmp_path: Path) -> None:
    """Two real processes, as if on two machines: the first has no bf16 instructions, the second has."""
    (tmp_path / "ranks.py").write_text(RANKS)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "MASTER", "LOCAL"))}
    kept |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", str(tmp_path / "ranks.py")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200, check=False, env=kept)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split("\n")) == ["", "rank 0: fp32, fp32", "rank 1: fp32, fp32"]
