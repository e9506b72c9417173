"""Kill commands in the middle, fill disks, start two of everything: `make chaos`.

After each, the command run once more must leave the same bytes as one that was never disturbed, and nothing else in
the folder. The commands are real processes, killed by SIGKILL after a random time.
"""

import argparse
import contextlib
import hashlib
import importlib.util
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors.numpy import load_file

_TINY = (
    "network.filters=8", "network.capsule_types=2", "network.primary_dim=4", "network.class_dim=4",
    "train.precision=fp32", "train.batch_size=64", "train.epochs=3", "data.source=fashion-mnist-subset",
)  # fmt: skip
_TWO_FILES = ("--precision", "fp32,int8")
_BUG = "bug in capsedge"


class Broken(AssertionError):
    """A promise does not hold."""


def check(holds: bool, said: str) -> None:
    """Raise `Broken` where a promise does not hold."""
    if not holds:
        raise Broken(said)


@dataclass(frozen=True)
class Ended:
    """A process that has ended.

    Attributes:
        code: Its exit code; negative for the signal that killed it.
        said: What it wrote to standard error.
        seconds: How long it ran.
    """

    code: int
    said: str
    seconds: float


def capsedge(*arguments: str | Path, kill_after: float | None = None, with_signal: int = signal.SIGKILL) -> Ended:
    """Run a command, and send it a signal after some seconds."""
    start = time.monotonic()
    process = _started(*arguments)
    try:
        said = process.communicate(timeout=kill_after)[1]
    except subprocess.TimeoutExpired:
        process.send_signal(with_signal)
        said = process.communicate()[1]
    return Ended(process.returncode, said, time.monotonic() - start)


def _started(*arguments: str | Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "capsedge", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def killed_until_done(command: Sequence[str | Path], kills: int, seconds: float, chance: random.Random) -> int:
    """Start a command over and over and kill it, until so many kills have met a running process.

    Args:
        command: The command.
        kills: Kills to survive.
        seconds: How long an undisturbed command takes.
        chance: Decides the moments.

    Returns:
        Kills that met it at work; fewer where it often ended before its kill.
    """
    met = 0
    for _ in range(3 * kills):
        ended = capsedge(*command, kill_after=chance.uniform(0.1, 1.0) * seconds)
        check(ended.code in (0, -signal.SIGKILL), f"it ended with {ended.code}: {ended.said[-300:]}")
        check(_BUG not in ended.said and "Traceback" not in ended.said, ended.said[-300:])
        met += ended.code == -signal.SIGKILL
        if met == kills:
            break
    return met


def files_of(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below a folder, hidden ones too."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def _weights(run: Path) -> dict[str, bytes]:
    return {name: values.tobytes() for name, values in load_file(run / "best.safetensors").items()}


def _rows(run: Path) -> list[dict[str, object]]:
    """The metrics without what a clock wrote."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: each for key, each in row.items() if "second" not in key} for row in rows]


class Place:
    """A folder for one scenario, and what an undisturbed training and export leave there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.whole = self.new("whole")
        self.train: list[str | Path] = [
            "train",
            "fashion-mnist-l2-small",
            *(part for each in _TINY for part in ("--set", each)),
        ]
        self.training = self._timed(*self.train, "--run", self.whole)
        self.untouched = self.new("untouched")
        shutil.copytree(self.whole, self.untouched)
        self.exporting = self._timed("export", self.whole, *_TWO_FILES)

    def _timed(self, *arguments: str | Path) -> float:
        ended = capsedge(*arguments)
        check(ended.code == 0, f"an undisturbed command failed: {ended.said}")
        return ended.seconds

    def new(self, scenario: str) -> Path:
        """Where a run can be made. All have one name, which an exported file carries."""
        return self.folder / scenario / "run"

    def copy(self, scenario: str) -> Path:
        """The trained run, not yet exported."""
        return Path(shutil.copytree(self.untouched, self.new(scenario)))


def trainings_killed(place: Place, kills: int, chance: random.Random) -> str:
    """A training goes on after each kill, to the same weights and metrics, bit for bit."""
    met = runs = 0
    while met < kills:
        run = place.new(f"killed-{runs}")
        runs += 1
        command = [*place.train, "--run", run]
        while met < kills:
            resume = (run / "run.json").exists()
            given: list[str | Path] = ["train", "--resume", "--run", run] if resume else command
            ended = capsedge(*given, kill_after=chance.uniform(0.3, 0.8) * place.training)
            check(_BUG not in ended.said and "Traceback" not in ended.said, ended.said[-300:])
            check(ended.code in (0, -signal.SIGKILL), f"it ended with {ended.code}: {ended.said[-300:]}")
            if ended.code == 0:
                break
            met += 1
        if (run / "run.json").exists() and json.loads((run / "run.json").read_text())["status"] != "finished":
            check(capsedge("train", "--resume", "--run", run).code == 0, "the last start did not finish it")
        elif not (run / "run.json").exists():
            check(capsedge(*command).code == 0, "a folder that was begun could not be used again")
        check(_weights(run) == _weights(place.whole), f"other weights than the undisturbed training's: {run}")
        check(_rows(run) == _rows(place.whole), f"other metrics than the undisturbed training's: {run}")
        left = {*files_of(run)} - {*files_of(place.untouched)}
        check(not left, f"left over in {run}: {sorted(left)}")
    return f"{met} kills in {runs} trainings"


def exports_killed(place: Place, kills: int, chance: random.Random) -> str:
    """An export that is started again after kills leaves the files of an undisturbed one, and nothing else."""
    return _exports(place, kills, chance, _TWO_FILES, place.whole, place.exporting)


def engine_builds_killed(place: Place, kills: int, chance: random.Random) -> str:
    """Likewise with a TensorRT engine, whose own bytes differ from build to build: the ONNX files are compared."""
    if importlib.util.find_spec("tensorrt_rtx") is None:
        return "not run: the package tensorrt-rtx is not installed"
    whole = place.copy("engine-whole")
    ended = capsedge("export", whole, "--trt")
    check(ended.code == 0, f"an undisturbed engine build failed: {ended.said}")
    return _exports(place, kills, chance, ("--trt",), whole, ended.seconds)


def _exports(
    place: Place, kills: int, chance: random.Random, options: tuple[str, ...], whole: Path, seconds: float
) -> str:
    met = runs = 0
    while met < kills:
        run = place.copy(f"export-{options[0].strip('-')}-{runs}")
        runs += 1
        command: list[str | Path] = ["export", run, *options]
        met += killed_until_done(command, min(8, kills - met), seconds, chance)
        ended = capsedge(*command)
        check(ended.code == 0, f"the last export ended with {ended.code}: {ended.said[-300:]}")
        found, expected = files_of(run), files_of(whole)
        check(found.keys() == expected.keys(), f"files differ: {sorted(found.keys() ^ expected.keys())}")
        other = [name for name in found if name.endswith(".onnx") and found[name] != expected[name]]
        check(not other, f"other bytes than the undisturbed export's: {other}")
        shutil.rmtree(run)
    return f"{met} kills in {runs} exports"


def termination(place: Place, kills: int, chance: random.Random) -> str:
    """SIGTERM saves the state at the end of the iteration; the training goes on to the same weights."""
    tries = max(1, kills // 10)
    for number in range(tries):
        run = place.new(f"terminated-{number}")
        after = chance.uniform(0.5, 0.9) * place.training
        ended = capsedge(*place.train, "--run", run, kill_after=after, with_signal=signal.SIGTERM)
        if ended.code != 0 and (run / "run.json").exists():
            check(ended.code == 130 and "the state is saved" in ended.said, f"{ended.code}: {ended.said[-300:]}")
            again = capsedge("train", "--resume", "--run", run)
            check(again.code == 0, f"it does not resume: {again.said[-300:]}")
        elif ended.code != 0:
            check(capsedge(*place.train, "--run", run).code == 0, "a folder that was begun could not be used again")
        check(_weights(run) == _weights(place.whole), "other weights than the undisturbed training's")
    return f"{tries} trainings"


def ranks_ended(place: Place, kills: int, chance: random.Random) -> str:
    """A training on two devices of which one process is ended: all end, and it goes on to the same weights."""
    whole = place.new("ranks-whole")
    devices = ["--device", "cpu", "--devices", "2"]
    undisturbed = capsedge(*place.train, "--run", whole, *devices)
    check(undisturbed.code == 0, f"an undisturbed training on two devices failed: {undisturbed.said}")
    tries, met = max(1, kills // 10), 0
    for number in range(tries):
        run = place.new(f"ranks-{number}")
        process = _started(*place.train, "--run", run, *devices)
        time.sleep(chance.uniform(0.4, 0.8) * undisturbed.seconds)
        if ranks := _children(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(ranks), signal.SIGTERM if number % 2 else signal.SIGKILL)
        try:
            said = process.communicate(timeout=120)[1]
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise Broken("a training did not end within 2 minutes of the end of one of its processes") from error
        check(_BUG not in said and "Traceback" not in said, said[-300:])
        if process.returncode != 0:
            met += 1
            given = (
                ["train", "--resume", "--run", run] if (run / "run.json").exists() else [*place.train, "--run", run]
            )
            again = capsedge(*given, *devices)
            check(again.code == 0, f"it does not resume: {again.said[-300:]}")
        check(_weights(run) == _weights(whole), "other weights than the undisturbed training's")
    return f"{met} of {tries} trainings ended by one of two processes"


def _children(process: int) -> list[int]:
    """Processes that a process has started and that train; Linux."""
    listed = Path(f"/proc/{process}/task/{process}/children")
    return [int(each) for each in listed.read_text().split()] if listed.exists() else []


def two_at_once(place: Place, kills: int, chance: random.Random) -> str:
    """Two trainings of one folder: one is refused and has changed nothing. Two exports: the same files."""
    tries = max(1, kills // 10)
    for number in range(tries):
        run = place.new(f"two-{number}")
        codes = _together([*place.train, "--run", run], [*place.train, "--run", run])
        check(sorted(map(bool, codes)) == [False, True], f"two trainings of one folder ended with {codes}")
        check(_weights(run) == _weights(place.whole), "other weights than the undisturbed training's")
        run = place.copy(f"two-exports-{number}")
        command: list[str | Path] = ["export", run, *_TWO_FILES]
        codes = _together(command, command)
        check(0 in codes, f"two exports of one run ended with {codes}")
        found, expected = files_of(run), files_of(place.whole)
        check(found.keys() == expected.keys(), f"files differ: {sorted(found.keys() ^ expected.keys())}")
        check(all(found[name] == expected[name] for name in found if name.endswith(".onnx")), "other bytes")
    return f"{tries} pairs of trainings, {tries} of exports"


def _together(*commands: Sequence[str | Path]) -> list[int]:
    processes = [_started(*command) for command in commands]
    said = [process.communicate()[1] for process in processes]
    for text in said:
        check(_BUG not in text and "Traceback" not in text, text[-300:])
    return [process.returncode for process in processes]


def full_disk(place: Place, kills: int, chance: random.Random) -> str:
    """On a full disk every command that writes ends with one line; with room again the same command succeeds."""
    if reason := _cannot_mount():
        return f"not run: {reason}"
    disk = place.folder / "disk"
    with _mounted(disk, "size=24m") as mounted:
        filler = mounted / "filler"

        def fill() -> None:
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while file.write(bytes(4096)) == 4096:
                    pass

        run = mounted / "run"
        shutil.copytree(place.untouched, run)
        commands: dict[str, list[str | Path]] = {
            "train": [*place.train, "--run", mounted / "new"],
            "export": ["export", run],
            "bench": ["bench", "builtin", "--iterations", "50", "--output", mounted / "report.json"],
        }
        for name, command in commands.items():
            before = {*files_of(mounted)}
            fill()
            ended = capsedge(*command)
            filler.unlink()
            check(ended.code == 1, f"{name} on a full disk ended with {ended.code}: {ended.said[-300:]}")
            check(bool(ended.said.strip()), f"{name} on a full disk says nothing")
            check("Traceback" not in ended.said and _BUG not in ended.said, ended.said[-300:])
            after = capsedge(*command)
            check(after.code == 0, f"with room again {name} ended with {after.code}: {after.said[-300:]}")
            left = [each for each in {*files_of(mounted)} - before if each.endswith(".part") or ".candidate" in each]
            check(not left, f"{name} left {left}")
    return f"{', '.join(commands)}"


def read_only(place: Place, kills: int, chance: random.Random) -> str:
    """In a folder that cannot be written every command ends with one line that names it."""
    if reason := _cannot_mount():
        return f"not run: {reason}"
    disk = place.folder / "sealed"
    with _mounted(disk, "size=24m") as mounted:
        run = mounted / "run"
        shutil.copytree(place.untouched, run)
        subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
        commands: dict[str, list[str | Path]] = {
            "train": [*place.train, "--run", mounted / "new"],
            "train --resume": ["train", "--resume", "--run", run],
            "export": ["export", run],
            "compress": ["compress", run, "--keep", "0.5"],
            "bench": ["bench", "builtin", "--iterations", "50", "--output", mounted / "report.json"],
        }
        for name, command in commands.items():
            ended = capsedge(*command)
            check(ended.code in (1, 2), f"{name} in a read-only folder ended with {ended.code}: {ended.said[-300:]}")
            check("Traceback" not in ended.said and _BUG not in ended.said, ended.said[-300:])
            check(
                str(mounted) in ended.said.replace("\n", ""), f"{name} does not name the folder: {ended.said[-300:]}"
            )
    return f"{', '.join(commands)}"


def _cannot_mount() -> str:
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("mount") is None:
        return "a small disk can be mounted by root on Linux only"
    with tempfile.TemporaryDirectory() as folder:
        tried = subprocess.run(["mount", "-t", "tmpfs", "none", folder], capture_output=True, check=False)
        if tried.returncode == 0:
            subprocess.run(["umount", folder], check=True)
    return "" if tried.returncode == 0 else "this machine refuses to mount a small disk"


@contextlib.contextmanager
def _mounted(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


SCENARIOS: dict[str, Callable[[Place, int, random.Random], str]] = {
    "trainings-killed": trainings_killed,
    "exports-killed": exports_killed,
    "engine-builds-killed": engine_builds_killed,
    "termination": termination,
    "ranks-ended": ranks_ended,
    "two-at-once": two_at_once,
    "full-disk": full_disk,
    "read-only": read_only,
}


def main() -> int:
    """Print a line for each scenario.

    Returns:
        1 where a promise was broken, else 0.
    """
    names = ", ".join(SCENARIOS)
    parser = argparse.ArgumentParser(prog="python -m tests.hardening.chaos", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"all where none is given: {names}")
    parser.add_argument("--kills", type=int, default=50, help="kills of each scenario that kills (default: 50)")
    parser.add_argument("--seed", type=int, default=0, help="decides the moments of the kills (default: 0)")
    given = parser.parse_args()
    if unknown := {*given.scenarios} - {*SCENARIOS}:
        parser.error(f"expected scenarios of {names}, got {', '.join(sorted(unknown))}")
    broken = 0
    print("| scenario | tried | result |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="capsedge-chaos-") as folder:
        place = Place(Path(folder))
        for name in given.scenarios or SCENARIOS:
            kills = min(20, given.kills) if name == "engine-builds-killed" else given.kills
            try:
                print(f"| {name} | {SCENARIOS[name](place, kills, random.Random(given.seed))} | holds |", flush=True)
            except Broken as error:
                broken += 1
                print(f"| {name} | | **broken: {' '.join(str(error).split())}** |", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
