"""What this machine can run, proved by running it; nothing is installed, and nothing leaves the machine."""

from capsedge.runtime.doctor.diagnosis import diagnose
from capsedge.runtime.doctor.findings import Diagnosis, Finding, State

__all__ = ["Diagnosis", "Finding", "State", "diagnose"]
