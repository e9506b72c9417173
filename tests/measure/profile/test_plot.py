"""The plot: its words, its formats, and a profile without roofs."""

import sys
from pathlib import Path

import msgspec
import pytest

from capsedge.errors import MissingExtra, WrongUse
from capsedge.measure.profile import plot
from capsedge.measure.profile.grouping import under
from capsedge.measure.profile.measure import RecordedProfile
from capsedge.measure.profile.report import Profile
from capsedge.measure.profile.roofline import Level, Roofs

pytest.importorskip("matplotlib")
ROOFS = Roofs(
    threads=1,
    product_sides=(8,),
    gflops={"fp32": 200.0},
    levels=(
        Level(name="L2 cache", capacity_bytes=1 << 20, copied_bytes=1 << 19, gb_per_s=200.0),
        Level(name="memory", capacity_bytes=None, copied_bytes=1 << 28, gb_per_s=40.0),
    ),
)


@pytest.fixture(scope="module")
def profile(measured: RecordedProfile) -> Profile:
    layers = under(ROOFS, measured.profile.layers)
    return msgspec.structs.replace(measured.profile, roofs=ROOFS, layers=tuple(layers))


@pytest.mark.parametrize("name", ["profile.svg", "profile.SVG"])
def test_the_roofs_and_the_stages_are_named(profile: Profile, name: str, tmp_path: Path) -> None:
    plot.save_plot(profile, tmp_path / name)

    text = (tmp_path / name).read_text()
    for word in ("fp32: 200", "L2 cache: 200 GB/s", "memory: 40 GB/s", "class capsules", "squash", "a batch of 2"):
        assert word in text


def test_without_roofs_the_shares_are_drawn(profile: Profile, tmp_path: Path) -> None:
    plot.save_plot(msgspec.structs.replace(profile, roofs=None), tmp_path / "profile.png")

    assert (tmp_path / "profile.png").read_bytes().startswith(b"\x89PNG")


def test_a_name_that_says_no_format_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match=r"expected a name that ends in .svg, .png, .pdf, got 'plot.txt'"):
        plot.check_plot(Path("plot.txt"))


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"pip install 'capsedge\[plots\]'"):
        plot.check_drawing()
