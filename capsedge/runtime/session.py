"""A loaded model that runs: the few verbs that every runtime behind capsedge has in common."""

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from capsedge.contract import Contract
from capsedge.errors import ModelError
from capsedge.processor import Processor, this_processor
from capsedge.runtime.feeds import Arrays
from capsedge.runtime.settings import DEFAULTS, Settings

OUTPUTS = ("lengths", "poses", "reconstruction")


@dataclass(frozen=True)
class Outputs:
    """What a capsule network answers.

    Attributes:
        lengths: float32 [batch, classes], how strongly each class is present, 0 to 1. They are independent, two
            classes can both be there: never softmax them.
        poses: float32 [batch, classes, dim], the class capsules.
        reconstruction: float32 [batch, height, width, channels] of 0 to 1, what the decoder draws of the longest
            capsule; [batch, labels, height, width, channels] where an image shows several classes, the longest
            first. None where the model has no decoder.
    """

    lengths: NDArray[np.float32]
    poses: NDArray[np.float32]
    reconstruction: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class QueryBreakdown:
    """Where the time of one run went, in milliseconds.

    Attributes:
        copy_in_ms: From the caller's arrays to the device; None where there is no such copy, as on the CPU.
        compute_ms: The network.
        copy_out_ms: Back, to arrays that are the caller's; None as above.
    """

    copy_in_ms: float | None
    compute_ms: float
    copy_out_ms: float | None


class Session(Protocol):
    """A model in memory, on the hardware that runs it; a context manager that frees both.

    Attributes:
        name: The model's name for people.
        file: The file it was loaded from.
        provider: Where it runs, asked of the runtime after loading, never assumed.
        contract: The model's promises, or None for somebody else's file.
        batch_limits: Smallest and largest batch, or None where any batch runs.
        settings: What it was opened with; what they left open (`threads`, `io_binding`) is as it was chosen, and
            `cuda_graph` is False once it showed that runs cannot be recorded.
        load_ms: Time of reading, checking and loading it, without the import of the runtime's library.
        fell_back: Operators that run on the CPU though another provider was asked for (`Settings.allow_fallback`).
        warnings: What was assumed of somebody else's file, and what was found while it ran to be otherwise than the
            settings asked, a sentence each, without the model's name.
    """

    name: str
    file: Path
    provider: str
    contract: Contract | None
    batch_limits: tuple[int, int] | None
    settings: Settings = DEFAULTS
    load_ms: float | None = None
    fell_back: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def processor(self) -> Processor | None:
        """The processor that runs it; None where its instruction sets are not known, or a GPU runs it."""
        return this_processor()

    @abstractmethod
    def feeds(self, batch: int) -> Arrays:
        """Make random inputs for a batch, the same ones every time.

        Raises:
            ModelError: The model does not take this batch, or takes something that is not a tensor of numbers.
        """

    def axes(self) -> dict[str, tuple[int | None, ...]]:
        """The axes of each input as the model declares them, by its name; None where any number goes."""
        smallest, largest = self.batch_limits or (1, 0)
        fixed = smallest if smallest == largest else None
        return {name: (fixed, *array.shape[1:]) for name, array in self.feeds(smallest).items()}

    @abstractmethod
    def run_raw(self, feeds: Arrays) -> Arrays:
        """Run the model on named inputs and give its outputs by name; needs no contract.

        Raises:
            ModelError: The model failed, mostly because the inputs do not fit it.
        """

    def run_with_breakdown(self, feeds: Arrays) -> QueryBreakdown:
        """Run as `run_raw` does, and tell where the time went; where there are no copies, all of it is compute.

        Raises:
            ModelError: See `run_raw`.
        """
        start = perf_counter_ns()
        self.run_raw(feeds)
        return QueryBreakdown(None, (perf_counter_ns() - start) / 1e6, None)

    @abstractmethod
    def close(self) -> None:
        """Free the model's memory; harmless when done twice."""

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        """Run a model that has a contract.

        Args:
            images: uint8 [batch, height, width, channels], as `Contract.input` says.

        Raises:
            ModelError: The model has no contract, the images do not fit it, or it does not keep its contract.
        """
        contract = contract_needed(self)
        _check_images(self, contract, images)
        outputs = self.run_raw({contract.input.name: images})
        promised = dict.fromkeys(("lengths", "poses", *contract.outputs))
        if not promised.keys() <= outputs.keys():
            names = " and ".join(f"'{name}'" for name in promised)
            raise ModelError(f"'{self.name}' must give {names}, it gives {', '.join(outputs)}: export it again")
        lengths = outputs["lengths"]
        if lengths.shape != (len(images), len(contract.classes)):
            raise ModelError(
                f"'{self.name}' must give lengths of {len(contract.classes)} classes for {len(images)} images, "
                f"it gave an array of {list(lengths.shape)}: export it again"
            )
        given = {name: outputs[name].astype(np.float32, copy=False) for name in OUTPUTS if name in outputs}
        return Outputs(**given)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def contract_needed(session: Session) -> Contract:
    """Give the session's contract, or say what a file without one lacks.

    Raises:
        ModelError: The model has no contract.
    """
    if session.contract is None:
        raise ModelError(
            f"'{session.name}' carries no capsedge contract, so its class names, its image size and its golden "
            "sample are unknown: make the file with capsedge export (capsedge bench runs it as it is)"
        )
    return session.contract


def closed(session: Session) -> ModelError:
    """What to raise where a session is used after `close`."""
    return ModelError(f"'{session.name}' was closed: open it again")


def check_batch(session: Session, batch: int) -> None:
    """Refuse a batch that the model cannot run.

    Raises:
        ModelError: The batch is outside of `Session.batch_limits`.
    """
    smallest, largest = session.batch_limits or (1, batch)
    if not smallest <= batch <= largest:
        wanted = f"{smallest}" if smallest == largest else f"{smallest} to {largest}"
        foreign = "" if session.contract or largest == 1 else ", the first axis of its inputs, if that is its batch"
        raise ModelError(
            f"'{session.name}': expected a batch of {wanted}, got {batch}: use --batch {smallest}{foreign}"
        )


def _check_images(session: Session, contract: Contract, images: NDArray[np.uint8]) -> None:
    if images.dtype != np.uint8 or images.shape[1:] != contract.input.shape:
        raise ModelError(
            f"'{session.name}': expected uint8 images of [batch, {', '.join(map(str, contract.input.shape))}], got "
            f"{images.dtype} {list(images.shape)}: fit them with capsedge.data.images.fit_image"
        )
    check_batch(session, len(images))
