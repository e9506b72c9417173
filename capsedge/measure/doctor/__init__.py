"""Testing what this machine can run; nothing is installed, and nothing leaves the machine."""

from capsedge.measure.doctor.diagnosis import diagnose
from capsedge.measure.doctor.findings import Diagnosis, Finding, State

__all__ = ["Diagnosis", "Finding", "State", "diagnose"]
