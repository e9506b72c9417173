"""The options of a session, as a command that takes them reads them."""

import pytest
import typer
from typer.testing import CliRunner

from capsedge.cli.options import session_options
from capsedge.runtime.settings import DEFAULTS, Settings


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ("", Settings()),
        (
            "--provider tensorrt-rtx --threads 3 --no-spinning --graph extended --io-binding --allow-fallback",
            Settings(
                provider="tensorrt-rtx",
                threads=3,
                spinning=False,
                graph="extended",
                io_binding=True,
                allow_fallback=True,
            ),
        ),
        ("--no-io-binding --no-cuda-graph", Settings(io_binding=False, cuda_graph=False)),
    ],
)
def test_the_options_of_a_command_are_the_settings_of_a_session(words: str, settings: Settings) -> None:
    read: list[tuple[int, Settings]] = []
    app = typer.Typer()

    @app.command()
    @session_options("provider", "threads", "spinning", "graph", "io_binding", "cuda_graph", "allow_fallback")
    def work(number: int, settings: Settings = DEFAULTS, other: bool = False) -> None:
        """What it does."""
        assert not other
        read.append((number, settings))

    assert CliRunner().invoke(app, ["3", *words.split()]).exit_code == 0
    assert read == [(3, settings)]
    assert "What it does." in CliRunner().invoke(app, ["--help"]).output


def test_a_command_has_only_the_options_that_it_named() -> None:
    app = typer.Typer()

    @app.command()
    @session_options("threads")
    def work(settings: Settings = DEFAULTS) -> None:
        del settings

    assert CliRunner().invoke(app, ["--threads", "1"]).exit_code == 0
    assert CliRunner().invoke(app, ["--provider", "cpu"]).exit_code == 2
