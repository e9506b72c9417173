"""An accepted ONNX file: the check before it is handed to a server or a page, and the name that it gets there."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from capsedge.contract import Contract, contract_of
from capsedge.errors import ModelError, WrongUse
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.runtime.integrity import Check, check_onnx

# Characters that are valid in a URL, in a folder name and in a label of Triton's metrics.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def is_accepted(contract: Contract) -> bool:
    """Whether the gate accepted a file."""
    return contract.verdict is not None and contract.verdict.status == "accepted"


def accepted_contract(file: Path) -> Contract:
    """The contract of an ONNX file that the gate accepted and that is unchanged since.

    Raises:
        ModelError: It has no verdict, was not accepted, or was altered.
    """
    read = read_onnx_file(file)
    contract = contract_of(read, source=str(file))
    if contract is None or contract.verdict is None:
        raise ModelError(
            f"'{file}' has no contract with a verdict, so it is not deployed", "make it with capsedge export"
        )
    if not is_accepted(contract):
        raise ModelError(
            f"'{file}' was not accepted by the gate ('{contract.verdict.status}'), so it is not deployed",
            "choose another precision",
        )
    refuse_altered(check_onnx(read, contract), file, f"capsedge gate {file}")
    return contract


def refuse_altered(checks: Iterable[Check], file: Path, todo: str) -> None:
    """Refuse a file with another hash than its contract has.

    Raises:
        ModelError: A check failed.
    """
    broken = [check.said for check in checks if check.holds is False]
    if broken:
        raise ModelError(f"'{file}' was altered since its gate ({'; '.join(broken)})", todo)


def full_name(run: str, precision: str, *, decoder: bool = False, backend: str = "") -> str:
    """What a model is called: its run, and what distinguishes it from the run's other models.

    Args:
        run: The run's name.
        precision: `Contract.precision`.
        decoder: Whether the model also computes a reconstruction.
        backend: What serves it; "" for the usual one.
    """
    parts = (run, "" if precision == "fp32" else precision, "decoder" if decoder else "", backend)
    return "-".join(part for part in parts if part)


def name_of(contract: Contract, backend: str = "") -> str:
    """What the model of a contract is called."""
    return full_name(contract.name, contract.precision, decoder="reconstruction" in contract.outputs, backend=backend)


def plain_name(name: str) -> str:
    """A model's name in the characters that its folder may have.

    Raises:
        WrongUse: No character is left.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return checked_name(re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:128])


def checked_name(name: str) -> str:
    """A model's name, if it can be a part of a URL and a folder.

    Raises:
        WrongUse: It cannot.
    """
    if not _NAME.fullmatch(name):
        raise WrongUse(
            "model name: expected up to 128 of the letters a-z and A-Z, digits, '.', '_' and '-', starting with a "
            f"letter or a digit, since it is part of a URL, got {name!r}"
        )
    return name
