"""Where the accepted file of a precision lies in an exported run."""

from pathlib import Path

from capsedge.contract import Precision
from capsedge.export.pipeline import file_name
from capsedge.training import Run


def typed_file(run: Run, precision: Precision) -> Path:
    """The run's accepted file of a precision."""
    return run.path / file_name(precision)
