"""The proof on a GPU: what only such a machine can run (docs/prove-on-gpu.md); `pytest tests/gpu -m gpu`."""
