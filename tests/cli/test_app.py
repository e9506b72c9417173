"""The frame of the command line: exit codes, one-line errors, and a start that loads little."""

import importlib
import json
import logging
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest
import typer

from capsedge.cli.console import print_json
from capsedge.cli.options import JsonOption
from capsedge.errors import CapsedgeError, DataError, GateRejected, Interrupted, ProviderError, WrongUse
from capsedge.runtime.loading import load
from capsedge.version import __version__
from tests.cli.conftest import COMMAND, in_a_shell
from tests.in_process import in_this_process

app = importlib.import_module("capsedge.cli.app")

KINDS: list[type[CapsedgeError]] = [CapsedgeError, *CapsedgeError.__subclasses__()]
BUG, SEE_BUG = "this is a bug in capsedge (KeyError): 'b'", "see it with capsedge --debug ..."


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `capsedge work` in this process, with a `work` of the test's own, and give the exit code."""

    def run_work(work: Callable[..., None], *options: str, after: Sequence[str] = (), name: str = "work") -> int:
        module = ModuleType(f"capsedge.cli.{name}")
        vars(module).update({"EXAMPLES": f"capsedge {name}", name: work})
        monkeypatch.setitem(sys.modules, f"capsedge.cli.{name}", module)
        monkeypatch.setattr(app, "COMMANDS", (name,))
        monkeypatch.setattr(sys, "argv", ["capsedge", *options, name, *after])
        monkeypatch.setenv("CAPSEDGE_DEBUG", "")  # so that what --debug sets is undone
        with pytest.raises(SystemExit) as stop:
            app.main()
        assert isinstance(stop.value.code, int)
        return stop.value.code

    return run_work


def failing(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


def test_a_command_that_ends_well_exits_with_0(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda: typer.echo("done")) == 0
    assert capsys.readouterr() == ("done\n", "")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (WrongUse("--batch wants a number"), 2, "capsedge: --batch wants a number\n"),
        (DataError("'x.idx' is cut off"), 1, "capsedge: 'x.idx' is cut off\n"),
        (GateRejected("lengths differ by 0.3"), 1, "capsedge: lengths differ by 0.3\n"),
        (Interrupted("stopped", "resume with --resume"), 130, "capsedge: stopped: resume with --resume\n"),
        (
            OSError(28, "No space left on device", "m.onnx"),
            1,
            "capsedge: 'm.onnx': no space left on device: free some space, or choose a folder on another disk\n",
        ),
        (KeyError("b"), 1, f"capsedge: {BUG}: {SEE_BUG}\n"),
        (DataError("first\n  second\n"), 1, "capsedge: first second\n"),
        (KeyboardInterrupt(), 130, "capsedge: interrupted\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_an_error_is_one_line_and_its_exit_code(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
) -> None:
    assert run(failing(error)) == code
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize(
    ("error", "code", "record"),
    [
        *(
            (
                kind("it is so", "do this"),
                kind.exit_code,
                {"code": kind.code, "text": "it is so", "advice": "do this"},
            )
            for kind in KINDS
        ),
        (WrongUse("--batch\nwants"), 2, {"code": "wrong-use", "text": "--batch wants", "advice": ""}),
        (
            OSError(28, "No space left on device", "m.onnx"),
            1,
            {
                "code": "system",
                "text": "'m.onnx': no space left on device",
                "advice": "free some space, or choose a folder on another disk",
            },
        ),
        (ProviderError("old", code="driver-too-old"), 1, {"code": "driver-too-old", "text": "old", "advice": ""}),
        (MemoryError("x"), 1, {"code": "memory", "text": "there is not enough memory for this; x", "advice": ""}),
        (KeyError("b"), 1, {"code": "bug", "text": BUG, "advice": SEE_BUG}),
    ],
)
def test_with_json_the_error_s_line_is_a_record(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], error: Exception, code: int, record: dict[str, str]
) -> None:
    def work(as_json: JsonOption = False) -> None:
        del as_json
        raise error

    assert run(work, after=["--json"]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert json.loads(said.err) == {"error": record}
    assert said.err.count("\n") == 1
    run(failing(error))
    line = ": ".join(filter(None, (record["text"], record["advice"])))
    assert capsys.readouterr().err == f"capsedge: {line}\n"


@pytest.mark.parametrize(
    ("name", "environment", "speaks"),
    [
        ("train", {"TORCHELASTIC_RUN_ID": "a", "LOCAL_WORLD_SIZE": "2", "RANK": "3", "LOCAL_RANK": "1"}, False),
        ("train", {"TORCHELASTIC_RUN_ID": "a", "LOCAL_WORLD_SIZE": "2", "RANK": "2", "LOCAL_RANK": "0"}, True),
        ("train", {"CAPSEDGE_DEVICES_PORT": "9", "RANK": "1", "LOCAL_RANK": "1"}, False),
        ("train", {"RANK": "1", "LOCAL_RANK": "1"}, True),
        ("infer", {"TORCHELASTIC_RUN_ID": "a", "LOCAL_WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}, True),
    ],
    ids=["torchrun", "first on its machine", "--devices", "another launcher", "another command"],
)
def test_only_a_later_process_of_a_training_leaves_an_error_to_the_first(
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    environment: dict[str, str],
    speaks: bool,
) -> None:
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    assert run(failing(DataError("'x.idx' is cut off")), name=name) == 1
    assert capsys.readouterr().err == ("capsedge: 'x.idx' is cut off\n" if speaks else "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("words", [["inspect", "builtin"], ["inspect", "builtin", "--json"], ["--help"]])
def test_a_full_standard_output_is_named(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "capsedge", *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert "standard output: no space left on device" in done.stderr


def test_a_termination_signal_ends_a_command_as_ctrl_c_does(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert run(lambda: signal.raise_signal(signal.SIGTERM)) == 130
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr() == ("", "capsedge: interrupted\n")


SIGNAL = "import signal\nsignal.raise_signal(signal.SIGINT)\n"
TRIED = "try:\n    import slow_part\nexcept KeyboardInterrupt as stop:\n    "


@pytest.mark.parametrize(
    "library",
    [
        f"{TRIED}raise ImportError('initialization failed') from stop\n",  # as pybind11's modules do
        f"{TRIED}raise SystemError('error return without exception set')\n",
        f"{TRIED}pass\n",
        "import slow_part\n",
    ],
    ids=["does not load", "fails", "swallows it", "lets it pass"],
)
def test_ctrl_c_while_a_library_is_imported_is_not_lost(
    library: str,
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "slow_library.py").write_text(library)
    (tmp_path / "slow_part.py").write_text(SIGNAL)
    monkeypatch.syspath_prepend(tmp_path)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    def work() -> None:
        load("slow_library", extra="cpu")
        typer.echo("went on")

    try:
        assert run(work) == 130
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
        for name in ("slow_library", "slow_part"):
            sys.modules.pop(name, None)
    assert capsys.readouterr() == ("", "capsedge: interrupted\n")
    assert sys.getprofile() is None


@pytest.mark.parametrize("error", [WrongUse("--batch wants a number"), KeyError("b")], ids=["ours", "a bug"])
def test_debug_shows_the_traceback(run: Callable[..., int], error: Exception) -> None:
    with pytest.raises(type(error)):
        run(failing(error), "--debug")


@pytest.mark.parametrize("closed", ["stdin", "stdout", "stderr"])
def test_a_stream_that_the_shell_closed_is_empty_and_takes_everything(
    run: Callable[..., int], monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    """`capsedge work >&-`: Python has None in its place."""
    read = []

    def work() -> None:
        typer.echo("done")
        typer.echo("said", err=True)
        print_json({})
        read.append(sys.stdin.buffer.read() if closed == "stdin" else b"")

    monkeypatch.setattr(sys, closed, None)

    assert run(work) == 0
    getattr(sys, closed).close()
    assert read == [b""]


@pytest.mark.parametrize(
    ("module", "line"),
    [
        (
            "json.no_such_part",
            "the Python package 'json' is damaged (No module named 'json.no_such_part'): pip install "
            "--force-reinstall json\n",
        ),
        (
            "no_such_package.part",
            "a part of this command is not installed (No module named 'no_such_package'): pip install 'capsedge[",
        ),
    ],
)
def test_a_damaged_package_is_told_from_one_that_is_not_installed(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], module: str, line: str
) -> None:
    assert run(lambda: importlib.import_module(module) and None) == 1
    assert capsys.readouterr().err.startswith(f"capsedge: {line}")


def test_matplotlib_does_not_speak_of_its_cache(
    run: Callable[..., int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("matplotlib"), "level", logging.WARNING)
    run(lambda: logging.getLogger("matplotlib").warning("mkdir -p failed for path"))

    assert caplog.records == []


def test_python_m_capsedge_is_the_command_and_prints_the_version() -> None:
    done = subprocess.run([sys.executable, "-m", "capsedge", "--version"], capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == (f"capsedge {__version__}\n", "")


def test_without_a_command_the_help_is_shown_and_nothing_is_called_an_error() -> None:
    done = in_a_shell()

    assert done.returncode == 2
    assert "Usage: capsedge" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("trian", "unknown command 'trian': did you mean 'train'?"),
        ("help", "unknown command 'help': see capsedge --help"),
        ("reproduce table3", "unknown command 'table3': did you mean 'table2'?"),
        ("infer --modle x", "unknown option '--modle': did you mean '--model'?"),
        ("lint --trt sm75", "unknown option '--trt': did you mean '--trt-target'?"),
        ("infer --colour red", "unknown option '--colour': see capsedge infer --help"),
        (
            "train --batch-size 5",
            "unknown option '--batch-size': a recipe's values are given as --set train.batch_size=",
        ),
        ("gate", "missing argument 'model': see capsedge gate --help"),
        (
            "bench --batch 0",
            "invalid value for '--batch': expected an integer of 1 or more, got '0': see capsedge bench --help",
        ),
        ("infer --batch", "option '--batch' requires an argument"),
    ],
)
def test_a_mistake_in_the_command_line_is_wrong_use_with_advice(
    words: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = in_this_process(capsys, monkeypatch)(*words.split())

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"capsedge: {line}")


@pytest.mark.parametrize(("words", "place"), [(["infer", ""], "infer"), (["infer", "x.png", "--model="], "--model")])
def test_an_empty_path_is_wrong_use_and_not_the_working_directory(
    words: list[str], place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = in_this_process(capsys, monkeypatch)(*words)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"capsedge: expected a path, a name or another value after '{place}', got an empty text\n"


def test_a_terminal_of_no_columns_is_taken_for_one_of_unknown_width() -> None:
    assert "Usage: capsedge" in in_a_shell("--help", COLUMNS="0").stdout


def test_the_help_lists_every_command_in_the_order_of_use() -> None:
    done = in_a_shell("--help")

    assert done.returncode == 0
    assert re.findall(r"^│ (\w+) ", done.stdout.partition("Commands")[2], re.MULTILINE) == list(app.COMMANDS)


FIGURES = [f"reproduce {name}" for name in ("table2", "fig1", "fig2", "fig3", "fig4")]


@pytest.mark.parametrize("command", [*app.COMMANDS, *FIGURES])
def test_every_commands_help_shows_what_it_does_and_an_example(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = in_this_process(capsys, monkeypatch)(*command.split(), "--help")

    assert done.returncode == 0
    assert f"Usage: capsedge {command}" in done.stdout
    assert re.search(rf"capsedge {command}", done.stdout.partition("Options")[2])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_completion_script(shell: str) -> None:
    done = in_a_shell(_CAPSEDGE_COMPLETE=f"source_{shell}")

    assert done.returncode == 0
    assert f"_CAPSEDGE_COMPLETE=complete_{shell}" in done.stdout


def test_show_completion_prints_the_script_of_the_shell_that_asks() -> None:
    # `; true` keeps bash from handing its process over, so that it is there to be asked.
    asked = f"{shlex.join([sys.executable, '-c', COMMAND, '--show-completion'])}; true"
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)

    assert "_CAPSEDGE_COMPLETE=complete_bash" in done.stdout


def test_completion_knows_the_commands() -> None:
    done = in_a_shell(_CAPSEDGE_COMPLETE="complete_bash", COMP_WORDS="capsedge ", COMP_CWORD="1")

    assert done.stdout.split() == list(app.COMMANDS)


@pytest.mark.parametrize(
    "printing",
    ["typer.echo('x' * 100_000)", "sys.stdout.write('one short line')", "console.out.print('x' * 100_000)"],
)
def test_a_reader_that_leaves_early_is_no_failure(printing: str) -> None:
    # `capsedge work | true`: the pipe's reader is gone before the first line.
    script = (
        "import importlib, sys, types, typer; from capsedge.cli import console;"
        "app = importlib.import_module('capsedge.cli.app'); app.COMMANDS = ('work',);"
        "module = sys.modules['capsedge.cli.work'] = types.ModuleType('capsedge.cli.work');"
        f"module.EXAMPLES, module.work = '', lambda: {printing} and None;"
        "sys.argv = ['capsedge', 'work']; app.main()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        complaint = process.stderr.read()

    assert (process.returncode, complaint) == (0, b"")
