"""What all tests share."""

from hypothesis import settings

# The same examples at every run, and no deadline: CI's cores are shared.
settings.register_profile("capsedge", deadline=None, derandomize=True)
settings.load_profile("capsedge")
