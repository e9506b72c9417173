"""The plot: its words, its formats, and a profile without roofs."""

import sys
from pathlib import Path

import msgspec
import pytest

from capsedge.errors import MissingExtra, WrongUse
from capsedge.measure.profile import plot
from capsedge.measure.profile.grouping import under
from capsedge.measure.profile.measure import profile_model
from capsedge.measure.profile.report import Profile
from capsedge.measure.profile.roofline import Level, Roofs
from capsedge.runtime.settings import Settings

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
def profile(good: Path) -> Profile:
    bare = profile_model(good, Settings(threads=1), iterations=50, roofline=False).profile
    return msgspec.structs.replace(bare, roofs=ROOFS, layers=tuple(under(ROOFS, bare.layers)))


def test_the_roofs_and_the_stages_are_named(profile: Profile, tmp_path: Path) -> None:
    plot.save_plot(profile, tmp_path / "profile.svg")

    text = (tmp_path / "profile.svg").read_text()
    for word in ("fp32: 200", "L2 cache: 200 GB/s", "memory: 40 GB/s", "class capsules", "squash", "a batch of 1"):
        assert word in text


def test_without_roofs_the_shares_are_drawn(profile: Profile, tmp_path: Path) -> None:
    plot.save_plot(msgspec.structs.replace(profile, roofs=None), tmp_path / "profile.png")

    assert (tmp_path / "profile.png").read_bytes().startswith(b"\x89PNG")


def test_capital_letters_say_a_format_too(profile: Profile, tmp_path: Path) -> None:
    plot.save_plot(profile, tmp_path / "profile.SVG")

    assert "class capsules" in (tmp_path / "profile.SVG").read_text()


def test_a_name_that_says_no_format_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match=r"must end in .svg, .png, .pdf, 'plot.txt' was given"):
        plot.check_plot(Path("plot.txt"))


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"pip install 'capsedge\[plots\]'"):
        plot.check_plot(Path("plot.svg"))
