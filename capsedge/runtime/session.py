"""A loaded model that runs: the few verbs that every runtime behind capsedge has in common."""

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Literal, Protocol, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from capsedge.contract import Contract
from capsedge.errors import ModelError
from capsedge.processor import Processor, this_processor
from capsedge.runtime.feeds import Arrays
from capsedge.runtime.settings import DEFAULTS, Settings

DeviceKind = Literal["cpu", "gpu"]

OUTPUTS = ("lengths", "poses", "reconstruction")


@dataclass(frozen=True)
class Outputs:
    """The outputs of a capsule network.

    Attributes:
        lengths: float32 [batch, classes], how strongly each class is present, 0 to 1. They are independent: several
            classes can be present, so never apply a softmax.
        poses: float32 [batch, classes, dim], the class capsules.
        reconstruction: float32 [batch, height, width, channels] of 0 to 1, the decoder's reconstruction from the
            longest capsule; [batch, labels, height, width, channels] where an image shows several classes, the
            longest first. None where the model has no decoder.
    """

    lengths: NDArray[np.float32]
    poses: NDArray[np.float32]
    reconstruction: NDArray[np.float32] | None = None


SessionCode = Literal[
    "assumed-size",
    "assumed-batch",
    "exact-int8",
    "inexact-int8",
    "graph-limit",
    "graph-failed",
]


class SessionWarning(msgspec.Struct, frozen=True):
    """An assumption about a model, or a setting that could not be followed.

    Attributes:
        code: For programs; docs/profile.md lists all codes.
        text: A clause for people, without the model's name.
    """

    code: SessionCode
    text: str


@dataclass(frozen=True)
class QueryBreakdown:
    """The parts of the time of one run, in milliseconds.

    Attributes:
        copy_in_ms: Copy from the caller's arrays to the device; None where there is no such copy, as on the CPU.
        compute_ms: Computation of the network.
        copy_out_ms: Copy to new arrays on the host; None as above.
    """

    copy_in_ms: float | None
    compute_ms: float
    copy_out_ms: float | None


class Session(Protocol):
    """A loaded model on the hardware that runs it; a context manager that frees its memory.

    Attributes:
        name: The model's name for people.
        file: The file it was loaded from.
        provider: The execution provider that the runtime reports after loading.
        device: What computes it: `gpu` if at least a part runs on a GPU.
        contract: The model's contract, or None for a file that capsedge did not export.
        batch_limits: Smallest and largest batch, or None where any batch runs.
        settings: The settings it was opened with. Options left to capsedge (`threads`, `io_binding`) have the chosen
            values, and `cuda_graph` is False after recording a CUDA graph has failed.
        load_ms: Time to read, check and load the model, without the import of the runtime's library.
        fell_back: Operators that run on the CPU though another provider was requested (`Settings.allow_fallback`).
        warnings: Assumptions about a file without a contract, and settings that could not be followed.
    """

    name: str
    file: Path
    provider: str
    device: DeviceKind = "cpu"
    contract: Contract | None
    batch_limits: tuple[int, int] | None
    settings: Settings = DEFAULTS
    load_ms: float | None = None
    fell_back: tuple[str, ...] = ()
    warnings: tuple[SessionWarning, ...] = ()

    @property
    def processor(self) -> Processor | None:
        """The processor that runs it; None where its instruction sets are not known, or a GPU runs it."""
        return this_processor() if self.device == "cpu" else None

    @abstractmethod
    def feeds(self, batch: int) -> Arrays:
        """Make random inputs for a batch, the same on each call.

        Raises:
            ModelError: The model does not take this batch, or an input is not a tensor of numbers.
        """

    def axes(self) -> dict[str, tuple[int | None, ...]]:
        """The declared axes of each input by name; None for an axis of any size."""
        smallest, largest = self.batch_limits or (1, 0)
        fixed = smallest if smallest == largest else None
        return {name: (fixed, *array.shape[1:]) for name, array in self.feeds(smallest).items()}

    @abstractmethod
    def run_raw(self, feeds: Arrays) -> Arrays:
        """Run the model on inputs by name and give its outputs by name; needs no contract.

        Raises:
            ModelError: The model failed, usually because the inputs do not fit it.
        """

    def run_with_breakdown(self, feeds: Arrays) -> QueryBreakdown:
        """Run as `run_raw` does, and give the times of its parts; without copies, all time is computation.

        Raises:
            ModelError: See `run_raw`.
        """
        start = perf_counter_ns()
        self.run_raw(feeds)
        return QueryBreakdown(None, (perf_counter_ns() - start) / 1e6, None)

    @abstractmethod
    def close(self) -> None:
        """Free the model's memory; a second call does nothing."""

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        """Run a model that has a contract.

        Args:
            images: uint8 [batch, height, width, channels] of the shape in `Contract.input`.

        Raises:
            ModelError: The model has no contract, the images do not fit it, or its outputs violate the contract.
        """
        contract = contract_needed(self)
        _check_images(self, contract, images)
        outputs = self.run_raw({contract.input.name: images})
        promised = dict.fromkeys(("lengths", "poses", *contract.outputs))
        if not promised.keys() <= outputs.keys():
            from capsedge.plural import quoted  # only for an error

            names = " and ".join(f"'{name}'" for name in promised)
            raise ModelError(f"'{self.name}' must give {names}, it gives {quoted(outputs)}", "export it again")
        lengths = outputs["lengths"]
        if lengths.shape != (len(images), len(contract.classes)):
            raise ModelError(
                f"'{self.name}' must give lengths of {len(contract.classes)} classes for {len(images)} images, "
                f"it gave an array of {list(lengths.shape)}",
                "export it again",
            )
        given = {name: outputs[name].astype(np.float32, copy=False) for name in OUTPUTS if name in outputs}
        return Outputs(**given)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def contract_needed(session: Session) -> Contract:
    """Give the session's contract, or raise an error that says what is missing without one.

    Raises:
        ModelError: The model has no contract.
    """
    if session.contract is None:
        raise ModelError(
            f"'{session.name}' carries no capsedge contract, so its class names, its image size and its golden "
            "sample are unknown",
            "make the file with capsedge export (capsedge bench needs no contract)",
        )
    return session.contract


def closed(session: Session) -> ModelError:
    """The error for the use of a session after `close`."""
    return ModelError(f"'{session.name}' was closed", "open it again")


def check_batch(session: Session, batch: int) -> None:
    """Refuse a batch that the model does not take.

    Raises:
        ModelError: The batch is outside `Session.batch_limits`.
    """
    smallest, largest = session.batch_limits or (1, batch)
    if not smallest <= batch <= largest:
        wanted = f"{smallest}" if smallest == largest else f"{smallest} to {largest}"
        foreign = "" if session.contract or largest == 1 else ", the first axis of its inputs, if that is its batch"
        raise ModelError(
            f"'{session.name}': expected a batch of {wanted}, got {batch}", f"use --batch {smallest}{foreign}"
        )


def _check_images(session: Session, contract: Contract, images: NDArray[np.uint8]) -> None:
    if images.dtype != np.uint8 or images.shape[1:] != contract.input.shape:
        raise ModelError(
            f"'{session.name}': expected uint8 images of [batch, {', '.join(map(str, contract.input.shape))}], got "
            f"{images.dtype} {list(images.shape)}",
            "fit them with capsedge.data.images.fit_image",
        )
    check_batch(session, len(images))
