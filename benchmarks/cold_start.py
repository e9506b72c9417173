"""Time of whole processes from start to exit, beside the import of the libraries that they need.

    python -m benchmarks.cold_start [--rounds 20]

Each command runs once per round, in shuffled order. The table has medians, and ratios to the imports with quartiles.
Measure an installed capsedge (`pip install '.[cpu]'`), whose bytecode pip compiles, on an idle machine.
"""

import argparse
import os
import random
import subprocess
import sys
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

SAMPLE = Path(__file__).parents[1] / "samples" / "ankle-boot-1045.png"
CAPSEDGE = "import sys; sys.argv[0] = 'capsedge'; from capsedge.cli import main; main()"

# The first is the reference. It imports almost nothing of PIL and rich; the second imports the modules that a program
# uses of them.
COMMANDS = {
    "imports": ["-c", "import numpy, onnxruntime, PIL, typer, rich"],
    "imports as used": ["-c", "import numpy, onnxruntime, PIL.Image, typer.main, rich.console"],
    "infer": ["-c", CAPSEDGE, "infer", str(SAMPLE)],
    "--help": ["-c", CAPSEDGE, "--help"],
    "python": ["-c", ""],
}


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds: int = parser.parse_args().rounds
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds + 1):
        for name in random.sample(list(COMMANDS), len(COMMANDS)):
            times[name].append(_seconds(COMMANDS[name]))
    print("| process | median | x imports (quartiles) |\n|---|---|---|")
    for name, (_, *seconds) in times.items():  # without the first round, which fills the disk cache
        ratios = [own / its for own, its in zip(seconds, times["imports"][1:], strict=True)]
        low, _, high = quantiles(ratios, n=4)
        print(f"| {name} | {1000 * median(seconds):.0f} ms | {median(ratios):.2f} ({low:.2f} to {high:.2f}) |")


def _seconds(arguments: list[str]) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["ORT_DISABLE_TELEMETRY"] = "1"  # as capsedge does; else only the imports would spend time on it
    start = perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environment)
    return perf_counter() - start


if __name__ == "__main__":
    main()
