"""docs/edge.md has the tables that the cards and the list of peers give; the plot is drawn from the same."""

from pathlib import Path

import pytest

from benchmarks.card.record import Card
from benchmarks.family import ROOT, Peer, draw, own_table, peers_table, read_cards, read_peers
from capsedge.errors import ModelError

PEERS = ROOT / "docs/edge/peers.json"


@pytest.fixture(scope="module")
def cards() -> list[Card]:
    return read_cards(ROOT / "zoo")


def test_the_document_has_the_tables_of_the_cards_and_of_the_peers(cards: list[Card]) -> None:
    text = (ROOT / "docs/edge.md").read_text()
    assert "\n".join(own_table(cards)) in text
    assert "\n".join(peers_table(read_peers(PEERS))) in text


def test_every_figure_of_a_network_is_its_cards(cards: list[Card]) -> None:
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in [*own_table(cards)][2:]]
    assert [row[0].split("]")[0][1:] for row in rows] == [card.name for card in cards]
    for row, card in zip(rows, cards, strict=True):
        for cell, precision in ((5, "fp32"), (6, "int8")):
            if precision not in card.measured:
                assert row[cell] == "no file"
                continue
            confusion = card.measured[precision].confusion
            right = sum(counts[number] for number, counts in enumerate(confusion))
            assert row[cell] == f"{100 * (1 - right / sum(map(sum, confusion))):.2f} %"
        assert row[1] == f"{card.parameters:,}"
        assert float(row[2]) == pytest.approx(card.macs / 1e6, abs=0.005)


def test_every_peer_has_a_source_and_the_largest_comes_first() -> None:
    peers = read_peers(PEERS)
    assert all(peer.source for peer in peers)
    assert [peer.parameters for peer in peers] == sorted((peer.parameters for peer in peers), reverse=True)


def test_a_peer_without_a_source_is_none(tmp_path: Path) -> None:
    (tmp_path / "peers.json").write_text('[{"name": "a", "kind": "CNN", "parameters": 1, "test_error": 0.1}]')
    with pytest.raises(ModelError, match=r"cannot be read as a list of networks: .*augmentation"):
        read_peers(tmp_path / "peers.json")


def test_the_same_networks_give_the_same_picture(cards: list[Card], tmp_path: Path) -> None:
    peers = [Peer(name="a (b)", kind="CNN", parameters=9, test_error=0.1, augmentation="", source="here")]
    for name in ("one", "other"):
        draw(cards, peers, tmp_path / f"{name}.png")
    content = (tmp_path / "one.png").read_bytes()
    assert content == (tmp_path / "other.png").read_bytes()
    assert content.startswith(b"\x89PNG")
