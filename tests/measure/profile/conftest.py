"""A real profile that several tests read."""

from pathlib import Path

import pytest

from capsedge.measure.profile.measure import RecordedProfile, profile_model
from capsedge.runtime.settings import Settings


@pytest.fixture(scope="session")
def measured(good: Path) -> RecordedProfile:
    """Of the small network, with a batch of 2."""
    return profile_model(good, Settings(threads=1), batch=2, iterations=50, roofline=False)
