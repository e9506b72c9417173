"""Whether the machine is the one of the baseline."""

from capsedge.errors import WrongUse
from capsedge.measure.bench.report import BenchReport
from capsedge.measure.machine import Machine


def check_machine(machine: Machine, baseline: BenchReport) -> None:
    """Refuse a baseline of another machine; to be asked before ten minutes of measuring.

    Raises:
        WrongUse: The processor is another one or has other instruction sets, or the GPU is where the baseline has a
            case that ran on one.
    """
    if moved := another_machine(machine, baseline):
        raise WrongUse(
            f"{moved}: times of two machines tell nothing of a regression; take the baseline on this machine, best "
            "in the same job"
        )


def another_machine(now: Machine, baseline: BenchReport) -> str:
    """In what the machine is another one, or ""; the GPU counts where a case ran off the CPU."""
    then = baseline.machine
    if now.cpu != then.cpu:
        return f"the baseline was taken on the processor '{then.cpu}', this is '{now.cpu}'"
    if now.processor and then.processor and now.processor.instruction_sets != then.processor.instruction_sets:
        had, has = (" ".join(each.instruction_sets) or "none" for each in (then.processor, now.processor))
        return f"the baseline was taken on '{then.cpu}' with the instruction sets {had}, this one has {has}"
    names = ["none" if machine.gpu is None else machine.gpu.name for machine in (then, now)]
    off_cpu = any(case.provider != "CPUExecutionProvider" for group in baseline.groups for case in group.cases)
    if off_cpu and names[0] != names[1]:
        return f"the baseline was taken on the GPU '{names[0]}', this is '{names[1]}'"
    return ""
