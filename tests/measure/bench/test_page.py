"""The page, read as a browser reads HTML."""

import hashlib
import re
from base64 import b64encode
from html.parser import HTMLParser
from typing import NamedTuple

import numpy as np
import pytest
from msgspec.structs import replace

from capsedge.measure.bench.report import BenchWarning, Breakdown
from capsedge.measure.bench.show.drawing import Look
from capsedge.measure.bench.show.model_plots import has_breakdown, has_sweep
from capsedge.measure.bench.show.page import page
from capsedge.measure.bench.show.sample_plots import ecdf, histogram, over_time
from capsedge.measure.machine import Conditions
from tests.measure.bench.reports import case, group, report, rounds_of

NASTY = [
    "<b>.onnx",
    "\"quoted\" & 'so'",
    "$x^{2$",
    "_hidden",
    "</script><script>alert(1)</script>",
    "line\nbreak",
    "模型",
]
VOID = {"meta", "wbr", "br", "link", "img"}


class Element(NamedTuple):
    tag: str
    attributes: dict[str, str | None]
    text: list[str]


class Page(HTMLParser):
    """All elements, each with all text inside; fails where tags are not closed in their order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        element = Element(tag, dict(attrs), [])
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs), []))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text.append(data)

    def all(self, tag: str, **attributes: str) -> list[Element]:
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [
            each
            for each in self.elements
            if each.tag == tag and all(each.attributes.get(name) == value for name, value in wanted.items())
        ]

    def texts(self, tag: str, **attributes: str) -> list[str]:
        return ["".join(each.text) for each in self.all(tag, **attributes)]


@pytest.fixture(scope="module")
def plain() -> str:
    """The page of a report of two cases without warnings."""
    return page(report())


@pytest.fixture(scope="module")
def batches() -> str:
    """The page of a small sweep: `b` is second of two at batch 1, and alone at batch 8; both have warnings."""
    told = {"quick": True, "warnings": (BenchWarning(code="gpu-throttled", text="the GPU <slowed> itself down"),)}
    cool = {"before": Conditions(load_average=0.25, gpu_throttling=()), "after": Conditions(gpu_throttling=("heat",))}
    cases = [case("a", rounds_of(1.0)), case("b", rounds_of(2.0), error=None, error_on=None)]
    return page(report(group(*cases, **told, **cool), group(cases[1], batch=8, **told)))


@pytest.fixture(scope="module")
def nasty_html() -> str:
    """Ten cases of ten thousand iterations; seven names contain markup or control characters."""
    generator = np.random.default_rng(0)
    samples = [tuple(map(tuple, generator.lognormal(0, 0.4, (100, 100)).round(6))) for _ in range(10)]
    names = [*NASTY, "runs/a", "runs/b", "runs/c"]
    return page(report(group(*(case(name, each) for name, each in zip(names, samples, strict=True)))))


@pytest.fixture(scope="module")
def nasty(nasty_html: str) -> Page:
    return Page(nasty_html)


def test_names_are_text_and_never_markup(nasty: Page) -> None:
    shown = [text.replace("\n", "\\n") for text in NASTY]

    assert nasty.texts("th", scope="row")[: len(NASTY)] == shown
    assert len(nasty.all("script")) == 1
    assert nasty.all("b") == []


def test_every_plot_names_every_case_and_ten_thousand_iterations_of_ten_are_less_than_a_megabyte(
    nasty: Page, nasty_html: str
) -> None:
    described = nasty.texts("desc")
    assert len(nasty_html.encode()) < 1_000_000

    assert len(described) == 5
    for text in described:
        assert [name for name in NASTY if name not in text] == []
    histogram = nasty.texts("svg", role="img")[0]
    assert all(name.replace("\n", "\\n") in histogram for name in NASTY)


def test_nothing_is_fetched(nasty: Page) -> None:
    for element in nasty.elements:
        for name, value in element.attributes.items():
            if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
                assert (value or "").startswith("#")
            assert not re.search(r"url\((?!#)", value or "")
    assert not re.search(r"@import|url\(", nasty.texts("style")[0])
    assert nasty.all("link") == nasty.all("img") == nasty.all("iframe") == []


def test_the_security_policy_forbids_fetching_and_other_scripts(nasty: Page) -> None:
    (policy,) = [each.attributes["content"] for each in nasty.elements if each.attributes.get("http-equiv")]
    digest = b64encode(hashlib.sha256(nasty.texts("script")[0].encode()).digest()).decode()

    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert f"script-src 'sha256-{digest}'" in policy
    assert not [name for each in nasty.elements for name in each.attributes if name.startswith("on")]


def test_ids_are_there_once_and_references_meet_them(batches: str) -> None:
    found = Page(batches)
    ids = [each.attributes["id"] for each in found.elements if "id" in each.attributes]

    assert len(set(ids)) == len(ids)
    assert set(re.findall(r'(?:url\(#|xlink:href="#)([^)"]+)', batches)) <= set(ids)
    for svg in found.all("svg", role="img"):
        assert set((svg.attributes["aria-labelledby"] or "").split()) <= set(ids)


def test_plots_take_their_ink_from_the_page_so_that_dark_and_light_both_show_it(nasty: Page) -> None:
    styles = {
        value for each in nasty.elements for name, value in each.attributes.items() if name == "style" and value
    }
    used = set(re.findall(r"var\(--(\w+)\)", " ".join(styles)))
    light, dark = re.findall(r":root \{(.*?)\}", nasty.texts("style")[0], re.DOTALL)

    assert {"ink", "soft", "grid"} <= used
    for name in used:
        assert f"--{name}:" in light
        assert f"--{name}:" in dark
    # Okabe and Ito's six, and no black or grey that is invisible on one of the two backgrounds.
    colours = set(re.findall(r"#[0-9a-f]{6}", " ".join(styles).lower()))
    assert colours == {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"}


def test_a_case_has_one_colour_in_every_group(batches: str) -> None:
    second = batches.split('id="g2-histogram-title"')[1].split("</svg>", maxsplit=1)[0]

    assert "#d55e00" in second.lower()
    assert "#0072b2" not in second.lower()


def test_the_same_report_gives_the_same_page(plain: str) -> None:
    assert page(report()) == plain


def test_warnings_come_first_and_a_quick_measurement_is_marked(plain: str, batches: str) -> None:
    assert Page(plain).all("section", class_="warnings") == Page(plain).all("span", class_="badge") == []
    assert batches.index("the GPU &lt;slowed&gt; itself down") < batches.index("<table")
    assert Page(batches).texts("span", class_="badge") == ["quick measurement"] * 3
    assert Page(batches).texts("title")[0].startswith("capsedge bench: quick measurement")


def test_the_table_sorts_by_full_figures_and_shows_the_ratio_with_its_interval(plain: str) -> None:
    cells = Page(plain).all("td")
    second = report().groups[0].cases[1]
    (mean,) = [each for each in cells if each.attributes.get("data-value") == str(second.mean_ms)]
    assert second.ratio is not None
    (ratio,) = [each for each in cells if each.attributes.get("data-value") == str(second.ratio.value)]

    assert float(mean.text[0]) == pytest.approx(second.mean_ms, rel=0.01)
    assert re.fullmatch(r"0\.\d{3}", ratio.text[0])
    assert re.fullmatch(r"0\.\d{3}-0\.\d{3}", ratio.text[1])


def test_the_state_of_the_machine_says_unavailable_or_none(batches: str) -> None:
    table = next(text for text in Page(batches).texts("table") if "GPU power, W" in text)

    assert "GPU power, Wunavailableunavailable" in table
    assert "GPU throttlingnoneheat" in table
    assert "load average0.25unavailable" in table


def test_plots_of_batches_errors_and_parts_are_drawn_only_if_there_are_several(plain: str, batches: str) -> None:
    of_a_group = ["Latency histogram", "Cumulative distribution", "Latency over time"]
    sweep = ["Latency over batch", "Throughput over batch"]

    assert Page(plain).texts("h3") == [*of_a_group, "Error against latency", "Where the time goes"]
    assert Page(batches).texts("h3") == [*sweep, *(2 * [*of_a_group, "Where the time goes"])]
    two_models = report(
        group(case("a", breakdown=Breakdown(load_ms=30.0, compute_ms=1.0))), group(case("b"), batch=8)
    )
    assert not has_sweep(two_models)
    assert [has_breakdown(each) for each in two_models.groups] == [False, True]


def test_a_long_sweep_shows_its_first_batch_and_hides_the_others_behind_a_click() -> None:
    groups = [group(replace(case(), samples_ms=(), breakdown=Breakdown()), batch=batch) for batch in (1, 2, 4)]
    shut = [
        "open" not in each.attributes
        for each in Page(page(report(*groups))).all("details")
        if "class" not in each.attributes
    ]

    assert shut == [False, True, True]


@pytest.mark.parametrize("samples", [[[2.0, 2.0], [2.0]], [[0.0, 1.0]], [[1e-4, 5e3]], [[1.0], [], [2.0]]])
def test_any_sample_can_be_drawn(samples: list[list[float]]) -> None:
    taken = group(case(samples_ms=samples))

    for draw in (histogram, ecdf, over_time):
        assert draw(taken, {"runs/a": Look("#0072B2", "")}, "x").svg.endswith("</svg>")
