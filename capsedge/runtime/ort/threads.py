"""Choosing the number of threads of a run on the CPU: more threads share its work, but each costs a hand-off."""

import math

import msgspec

from capsedge.contract import Contract
from capsedge.cores import usable_cores
from capsedge.runtime.settings import Settings

# Operations that one thread executes during the hand-off of work to another: 20 us at 195 GFLOP/s.
HAND_OFF_FLOPS = 4_000_000
# A sleeping thread must be woken first: 100 us.
HAND_OFF_ASLEEP_FLOPS = 20_000_000


def threads_for(flops: int, cores: int, *, spinning: bool = True) -> int:
    """Choose the number of threads by the work of a run.

    With work W and a hand-off h for each additional thread, n threads take W / n + h (n - 1). The best n is the first
    with n (n + 1) >= W / h, which is sqrt(W / h), rounded.

    The hand-off was measured on two cores (AMD EPYC with AVX-512, ONNX Runtime 1.31.1, an idle machine). h is the
    time of two threads beyond half that of one thread; the rate of one thread converts it to operations:

    | work, threads | one, ms | two, ms | h, us | h, MFLOP |
    |---|---|---|---|---|
    | 28.8 MFLOP, spinning | 0.151 | 0.094 | 18 | 3.5 |
    | 401.7 MFLOP, spinning | 2.05 | 1.04 | 15 | 2.9 |
    | 28.8 MFLOP, sleeping | 0.151 | 0.158 | 82 | 16 |
    | 28.8 MFLOP in int8, sleeping | 0.084 | 0.104 | 62 | 21 |
    | 401.7 MFLOP, sleeping, median | 2.05 | 1.14 | 115 | 23 |
    | 401.7 MFLOP, sleeping, mean | 2.05 | 1.35 | 325 | 64 |

    So h is 4 MFLOP for spinning threads, and 20 for sleeping ones, the middle of the medians: two sleeping threads
    pay from 40 MFLOP on. The mean is far above the median because some runs waited much longer. For more than two
    threads this is a model, not a measurement.

    Args:
        flops: Operations of one run: those of one image, times the batch.
        cores: Cores that the process may use (`capsedge.cores.usable_cores`).
        spinning: Whether idle threads spin while they wait for work.

    Returns:
        1 to `cores`.
    """
    ratio = flops / (HAND_OFF_FLOPS if spinning else HAND_OFF_ASLEEP_FLOPS)
    return max(1, min(math.ceil((math.sqrt(4 * ratio + 1) - 1) / 2), cores))


def with_threads(settings: Settings, contract: Contract | None) -> Settings:
    """Choose the number of threads by the work of a run, where capsedge may and the contract tells the work.

    Args:
        settings: The settings of a session on the CPU.
        contract: The file's contract; without one the runtime chooses.
    """
    if settings.threads or contract is None or not contract.flops:
        return settings
    threads = threads_for(contract.flops * settings.batch, usable_cores(), spinning=settings.spinning)
    return msgspec.structs.replace(settings, threads=threads)
