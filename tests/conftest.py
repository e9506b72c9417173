"""What all tests share."""

from hypothesis import settings
from jaxtyping import install_import_hook

# The shapes in the signatures of models/ hold: every call in a test is checked against them. It must come before the
# first import of a module it checks.
install_import_hook("capsedge.models", "beartype.beartype")

# The same examples at every run, and no deadline: CI's cores are shared.
settings.register_profile("capsedge", deadline=None, derandomize=True)
settings.load_profile("capsedge")
