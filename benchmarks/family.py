"""The networks of the zoo beside published ones: a table, and a plot of error against parameters.

    python -m benchmarks.family [--zoo zoo] [--peers docs/edge/peers.json] [--plot docs/edge/pareto.png]

The zoo's figures come from its cards, the peers' from their own publications, with the source.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from benchmarks.card.record import CARD, Card, read_card
from capsedge.errors import CapsedgeError, ModelError
from capsedge.export.card.latency import Latency
from capsedge.reproduce.drawing import COLOURS, GREY, canvas, save_png, styled

ROOT = Path(__file__).parents[1]


class Peer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A published network.

    Attributes:
        name: Name of the network.
        kind: Type of the network.
        parameters: Number of parameters, as stated in the source or counted from it.
        test_error: Share of wrong answers on Fashion-MNIST's 10,000 test images, 0 to 1.
        augmentation: Augmentation of its training images.
        source: Source of the figures.
    """

    name: str
    kind: Literal["capsules", "CNN"]
    parameters: int
    test_error: float
    augmentation: str
    source: str


def main() -> None:
    """Print both tables and draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zoo", type=Path, default=ROOT / "zoo")
    parser.add_argument("--peers", type=Path, default=ROOT / "docs/edge/peers.json")
    parser.add_argument("--plot", type=Path, default=ROOT / "docs/edge/pareto.png")
    options = parser.parse_args()
    try:
        cards, peers = read_cards(options.zoo), read_peers(options.peers)
        print("\n".join([*own_table(cards), "", *peers_table(peers)]))
        draw(cards, peers, options.plot)
    except CapsedgeError as error:
        raise SystemExit(f"family: {error}") from error


def read_cards(zoo: Path) -> list[Card]:
    """The cards of the zoo, by parameters."""
    return sorted((read_card(file.parent) for file in zoo.glob(f"*/{CARD}")), key=lambda card: card.parameters)


def read_peers(file: Path) -> list[Peer]:
    """The peers, by parameters in descending order.

    Raises:
        ModelError: The file is missing or damaged.
    """
    try:
        peers = msgspec.json.decode(file.read_bytes(), type=list[Peer])
    except (OSError, msgspec.MsgspecError) as error:
        raise ModelError(f"'{file}' cannot be read as a list of networks: {error}") from error
    return sorted(peers, key=lambda peer: -peer.parameters)


def own_table(cards: Iterable[Card]) -> Iterator[str]:
    """The table of the zoo in Markdown."""
    yield "| | parameters | MMAC | epochs | validation | test, fp32 | test, int8 | one image, fp32 | int8 |"
    yield f"|{'---|' * 9}"
    for card in cards:
        fp32, int8 = card.measured["fp32"], card.measured.get("int8")
        errors = [f"{100 * error:.2f} %" for error in (fp32.validation_error, fp32.test_error)]
        errors.append(f"{100 * int8.test_error:.2f} %" if int8 else "no file")
        times = [_time(card.latency, found.file) if found else "" for found in (fp32, int8)]
        work = [f"{card.parameters:,}", f"{card.macs / 1e6:.2f}", f"{card.epochs}"]
        yield f"| [{card.name}](../zoo/{card.name}/card.md) | {' | '.join([*work, *errors, *times])} |"


def peers_table(peers: Iterable[Peer]) -> Iterator[str]:
    """The table of the peers in Markdown."""
    yield "| network of others | kind | parameters | test | augmentation | source |"
    yield f"|{'---|' * 6}"
    for peer in peers:
        error, size = f"{100 * peer.test_error:.2f} %", f"{peer.parameters:,}"
        yield f"| {peer.name} | {peer.kind} | {size} | {error} | {peer.augmentation} | {peer.source} |"


def draw(cards: list[Card], peers: list[Peer], path: Path) -> None:
    """Draw the test error against the parameters."""
    groups = {
        "capsedge": ([(card.parameters, card.measured["fp32"].test_error, card.name) for card in cards], "o"),
        "capsule networks of others": (_points(peers, "capsules"), "s"),
        "CNNs of others": (_points(peers, "CNN"), "^"),
    }
    with styled():
        figure = canvas(7, 4)
        axes = figure.add_subplot()
        for (title, (points, marker)), colour in zip(
            groups.items(), (COLOURS["l2"], COLOURS["l1"], GREY), strict=True
        ):
            sizes, errors = [size for size, _, _ in points], [100 * error for _, error, _ in points]
            axes.scatter(sizes, errors, marker=marker, color=colour, label=title, zorder=3)
            for size, error, name in points:
                axes.annotate(name, (size, 100 * error), xytext=(4, 5), textcoords="offset points", fontsize=7)
        axes.set_xscale("log")
        axes.set_xlim(right=5e7)  # room for the names on the right
        axes.set_xlabel("parameters")
        axes.set_title("test error, %", loc="left")
        axes.grid(axis="y")
        axes.legend()
        save_png(figure, path)


def _points(peers: list[Peer], kind: str) -> list[tuple[int, float, str]]:
    return [(peer.parameters, peer.test_error, peer.name.split(" (")[0]) for peer in peers if peer.kind == kind]


def _time(latency: Iterable[Latency], file: str) -> str:
    """The median latency of one image on one thread, if it was measured."""
    found = [each.p50_ms for each in latency if (each.file, each.batch, each.threads) == (file, 1, 1)]
    return f"{found[0]:.3f} ms" if found else ""


if __name__ == "__main__":
    main()
