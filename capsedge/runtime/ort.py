"""Models on ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capsedge.contract import METADATA_KEY, Contract, decode
from capsedge.errors import ModelError
from capsedge.runtime.feeds import Arrays, random_array
from capsedge.runtime.models import title
from capsedge.runtime.placement import open_on, placed_on, reason
from capsedge.runtime.providers import Provider
from capsedge.runtime.session import Session, check_batch
from capsedge.runtime.wheels import load_onnxruntime

_DTYPES = {
    "bool": np.bool_,
    "uint8": np.uint8,
    "int8": np.int8,
    "uint16": np.uint16,
    "int16": np.int16,
    "uint32": np.uint32,
    "int32": np.int32,
    "uint64": np.uint64,
    "int64": np.int64,
    "float16": np.float16,
    "float": np.float32,
    "double": np.float64,
}


class OrtSession(Session):
    """An ONNX file on ONNX Runtime; the contract is optional, so that anybody's model can be timed."""

    def __init__(self, file: Path, *, provider: Provider = "cpu", threads: int = 0) -> None:
        """Load `file`.

        Raises:
            ModelError: ONNX Runtime cannot load the file.
            ProviderError: The provider cannot run it here.
            MissingExtra: No ONNX Runtime is installed.
        """
        ort = load_onnxruntime("cpu" if provider == "cpu" else "gpu")
        self._ort = open_on(ort, file, provider, threads)
        self._outputs = [output.name for output in self._ort.get_outputs()]
        self.name = title(file)
        self.file = file
        self.provider = placed_on(self._ort)
        self.contract = _contract(self._ort, file)
        self.batch_limits = _batch_limits(self._ort)

    def feeds(self, batch: int) -> Arrays:
        """See `Session.feeds`: a free first axis becomes the batch, every other free axis becomes 1."""
        check_batch(self, batch)
        return {node.name: _random_feed(self.name, node, batch) for node in self._ort.get_inputs()}

    def run_raw(self, feeds: Arrays) -> Arrays:
        """See `Session.run_raw`."""
        try:
            return dict(zip(self._outputs, self._ort.run(None, feeds), strict=True))
        except Exception as error:  # ONNX Runtime's errors have no common class
            raise ModelError(f"'{self.name}' failed to run: {reason(error)}") from error

    def close(self) -> None:
        """See `Session.close`; ONNX Runtime frees the model with its last reference."""
        self._ort = None


def _contract(opened: Any, file: Path) -> Contract | None:
    text = opened.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    return None if text is None else decode(text, Contract, source=str(file))


def _batch_limits(opened: Any) -> tuple[int, int] | None:
    fixed = [node.shape[0] for node in opened.get_inputs() if node.shape and isinstance(node.shape[0], int)]
    return (fixed[0], fixed[0]) if fixed else None


def _random_feed(model: str, node: Any, batch: int) -> NDArray[Any]:
    dtype = _DTYPES.get(node.type.removeprefix("tensor(").removesuffix(")"))
    if dtype is None:
        raise ModelError(
            f"'{model}' takes {node.type} as '{node.name}'; inputs can be made up for tensors of "
            f"{', '.join(_DTYPES)} only, so it cannot be timed"
        )
    free = [batch, *[1] * len(node.shape)]
    shape = tuple(size if isinstance(size, int) else free[axis] for axis, size in enumerate(node.shape))
    return random_array(shape, dtype)
