"""What the gate checks of an existing file before it judges it: that it is of the given run, and unaltered."""

import shlex
from pathlib import Path

from capsedge.contract import Contract
from capsedge.errors import WrongUse
from capsedge.onnx_lite.file import OnnxFile
from capsedge.runtime.integrity import check_onnx
from capsedge.training import Run


def check_origin(model: Path, contract: Contract, run: Run) -> None:
    """Refuse a file of another run, which the gate would reject although the file is correct.

    Raises:
        WrongUse: The scores of the trained network in the contract are not those of the run.
    """
    trained = tuple(score for score in contract.scores if score.stage == "trained")
    if trained != run.read_record().scores:
        if model.resolve().parent == run.path.resolve() and contract.name == run.path.resolve().name:
            again = shlex.join(["capsedge", "export", str(run.path)])
            raise WrongUse(f"'{model}' is older than the best network of its run", again)
        raise WrongUse(
            f"'{model}' was exported from another run than '{run.path}': from '{contract.name}', whose "
            "network has other scores",
            "give its own with --run",
        )


def alterations(file: OnnxFile, contract: Contract) -> tuple[str, ...]:
    """A remark for each part of a file that was altered since its export."""
    return tuple(f"since its export {check.said}" for check in check_onnx(file, contract) if not check.holds)
