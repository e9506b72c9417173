"""The options that several commands share, as a command that takes them all reads them."""

import pytest
import typer
from typer.testing import CliRunner

from capsedge.cli.options import (
    AllowFallbackOption,
    CudaGraphOption,
    GraphOption,
    IoBindingOption,
    ProviderOption,
    SpinningOption,
    ThreadsOption,
)
from capsedge.runtime.settings import Settings


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
    read: list[Settings] = []
    app = typer.Typer()

    @app.command()
    def work(
        provider: ProviderOption = None,
        threads: ThreadsOption = 0,
        spinning: SpinningOption = True,
        graph: GraphOption = "all",
        io_binding: IoBindingOption = None,
        allow_fallback: AllowFallbackOption = False,
        cuda_graph: CudaGraphOption = True,
    ) -> None:
        read.append(
            Settings(
                provider=provider,
                threads=threads,
                spinning=spinning,
                graph=graph,
                io_binding=io_binding,
                allow_fallback=allow_fallback,
                cuda_graph=cuda_graph,
            )
        )

    assert CliRunner().invoke(app, words.split()).exit_code == 0
    assert read == [settings]
