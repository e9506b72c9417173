"""The models of runtime/'s tests, for those of what is measured."""

from tests.runtime.conftest import good, models

__all__ = ["good", "models"]
