"""Robustness of trained networks: transformed and noisy images, adversarial ones, and images of none of the classes.

    python -m benchmarks.robustness RUN... [--data fashion-mnist] [--foreign FOLDER]... [--output FILE.json]

docs/robustness.md describes the measurements.
"""
