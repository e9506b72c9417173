"""How many threads a run on the CPU should take: enough to share its work, few enough not to lose it to hand-offs."""

import math

# Work that one thread does in the time in which another one is handed its part: 20 us at 195 GFLOP/s.
HAND_OFF_FLOPS = 4_000_000
# A thread that sleeps must be woken first: 100 us.
HAND_OFF_ASLEEP_FLOPS = 20_000_000


def threads_for(flops: int, cores: int, *, spinning: bool = True) -> int:
    """Choose the number of threads for a run of so much work.

    With work W and a hand-off h for each further thread, n threads take W / n + h (n - 1). One more thread does not
    pay from the first n on with n (n + 1) >= W / h, which is sqrt(W / h), rounded.

    The hand-off was measured on two cores (AMD EPYC with AVX-512, ONNX Runtime 1.31.1, a quiet machine). What two
    threads take beyond half of the time of one is h, and the rate of one thread makes it operations:

    | work, threads | one, ms | two, ms | h, us | h, MFLOP |
    |---|---|---|---|---|
    | 28.8 MFLOP, awake | 0.151 | 0.094 | 18 | 3.5 |
    | 401.7 MFLOP, awake | 2.05 | 1.04 | 15 | 2.9 |
    | 28.8 MFLOP, asleep | 0.151 | 0.158 | 82 | 16 |
    | 28.8 MFLOP in int8, asleep | 0.084 | 0.104 | 62 | 21 |
    | 401.7 MFLOP, asleep, median | 2.05 | 1.14 | 115 | 23 |
    | 401.7 MFLOP, asleep, mean | 2.05 | 1.35 | 325 | 64 |

    So 4 MFLOP awake, and 20 asleep, the middle of the medians: two threads pay from 40 MFLOP on. The mean lies
    far above its median: some runs waited much longer. Beyond two threads this is a model, not a measurement.

    Args:
        flops: Operations of one run: of one image, times the batch.
        cores: Cores that the process may use (`capsedge.cores.usable_cores`).
        spinning: Whether threads wait for their part awake.

    Returns:
        1 to `cores`.
    """
    ratio = flops / (HAND_OFF_FLOPS if spinning else HAND_OFF_ASLEEP_FLOPS)
    return max(1, min(math.ceil((math.sqrt(4 * ratio + 1) - 1) / 2), cores))
