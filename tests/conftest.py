"""What all tests share."""

import gc
import hashlib
import inspect
import io
import pickle
import signal
import sys
from collections.abc import Iterator
from functools import cache, wraps
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

from capsedge.run_record import newest_runs

ROOT = Path(__file__).parents[1]

# The shapes in the signatures of models/ hold: every call in a test is checked against them. It must come before the
# first import of a module it checks.
install_import_hook("capsedge.models", "beartype.beartype")

# A shell that starts the tests in the background has SIGINT ignored, which every process of a test would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples at every run, and no deadline: CI's cores are shared.
settings.register_profile("capsedge", deadline=None, derandomize=True)
settings.load_profile("capsedge")


pytest_plugins = ["tests.runtime.strange_models"]


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Keep bytes out of the names of tests: gzip writes the time, and pytest's processes must collect the same."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """Undo the handlers that `capsedge.cli.main` sets for its process: a forked one with them may ignore its end."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _no_runs_of_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the developer's own runs, as of `make demo`, whose newest export would answer in place of the built-in."""
    if ROOT.joinpath("runs").exists():

        def others(root: Path) -> list[Path]:
            return [] if root.absolute() == ROOT / "runs" else newest_runs(root)

        monkeypatch.setattr("capsedge.runtime.models.newest_runs", others)


@pytest.fixture(scope="session", autouse=True)
def _one_table_of_operators() -> Iterator[None]:
    """Let torch make its table of ONNX operators once: making it anew is a third of each export's time."""
    if "torch" not in sys.modules:
        yield
        return
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    make = ONNXRegistry.from_torchlib
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(cache(make)))
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_trace_of_each_network() -> Iterator[None]:
    """Let torch trace a network once, however many tests export it: tracing is most of an export's time.

    What is the same to the last weight gives the same program, and a program makes a new file's content each time.
    """
    if "torch" not in sys.modules:
        yield
        return
    import torch

    trace, programs = torch.onnx.export, dict[bytes, Any]()

    @wraps(trace)
    def once(module: torch.nn.Module, arguments: tuple[Any, ...], **options: Any) -> Any:
        try:
            key = _content((module, arguments, options))
        except (pickle.PicklingError, AttributeError, TypeError):  # a test has put a function of its own into it
            return trace(module, arguments, **options)
        if key not in programs:
            programs[key] = trace(module, arguments, **options)
        return programs[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", once)
        yield


@pytest.fixture
def traced_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of the tracing itself."""
    import torch

    monkeypatch.setattr(torch.onnx, "export", inspect.unwrap(torch.onnx.export))


def _content(module_and_more: object) -> bytes:
    """A hash that is the same for the same classes, attributes and weights."""
    import torch

    class Pickler(pickle.Pickler):
        def persistent_id(self, part: object) -> object:
            if not isinstance(part, torch.Tensor):
                return None
            return type(part).__name__, str(part.dtype), tuple(part.shape), part.detach().numpy().tobytes()

    pickled = io.BytesIO()
    Pickler(pickled).dump(module_and_more)
    return hashlib.sha256(pickled.getvalue()).digest()


@pytest.fixture(scope="session", autouse=True)
def _what_is_imported_stays() -> None:
    """Keep the garbage collector off the million objects that torch and the collected tests are made of."""
    gc.collect()
    gc.freeze()
