"""The folder of a file that the gate judges: kept while its export lives, removed by the next one after a kill."""

import subprocess
import sys
from pathlib import Path

from capsedge.export.candidate import candidate_folder

EXPORT = """
import sys
from pathlib import Path
from capsedge.export.candidate import candidate_folder

with candidate_folder(Path(sys.argv[1])) as folder:
    (folder / "model.onnx").write_text("another export's")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_removed_at_its_end_and_after_a_kill_but_not_while_its_export_lives(tmp_path: Path) -> None:
    command = [sys.executable, "-c", EXPORT, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as export:
        assert export.stdout is not None
        other = Path(export.stdout.readline().strip())
        with candidate_folder(tmp_path / "run") as own:
            assert own != other
            assert {own.parent, other.parent} == {tmp_path / "run"}
        assert (other / "model.onnx").read_text() == "another export's"
        assert not own.exists()
        export.kill()
    assert other.exists()
    with candidate_folder(tmp_path / "run") as own:
        assert list((tmp_path / "run").iterdir()) == [own]
