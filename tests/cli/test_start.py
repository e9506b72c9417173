"""Ctrl-C while Python still loads the command line, and while a command works, is one line and no traceback."""

import json
import signal
import subprocess
import sys
import time

import pytest

# Says when the command line begins to be loaded; `infer` then waits for its list until it is interrupted.
START = """
import sys
class Begun:
    def find_spec(self, name, *_):
        if name == "capsedge.cli":
            print("begun", flush=True)
sys.meta_path.insert(0, Begun())
sys.argv = ["capsedge", *sys.argv[1:]]
from capsedge.__main__ import main
main()
"""


@pytest.mark.parametrize("delay", [0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3])
@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_ctrl_c_is_one_line_from_the_first_import_on(delay: float, options: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", START, "infer", "--list", "-", *options]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stderr is not None
        said = [line for line in process.stderr.read().splitlines() if not line.startswith(("model:", "note:"))]

    (line,) = said
    if options:
        assert json.loads(line) == {"error": {"code": "interrupted", "text": "interrupted", "advice": ""}}
    else:
        assert line == "capsedge: interrupted"


def test_ctrl_c_that_is_ignored_as_in_a_background_job_stays_so() -> None:
    ignoring = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    ended = "import atexit; atexit.register(lambda: print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN))\n"
    done = subprocess.run(
        [sys.executable, "-c", ignoring + ended + START, "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "True"
