"""The names of the hardware that a model can be asked to run on."""

from typing import Literal

Provider = Literal["cpu", "cuda", "tensorrt"]
