"""The proof on a GPU: everything that only such a machine can run, run by one command (docs/prove-on-gpu.md).

`python -m benchmarks.prove [OUT] [--run RUN] [--quick]`, or `scripts/prove_on_gpu.sh`, which makes its environment.
"""
