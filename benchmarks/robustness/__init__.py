"""Robustness of trained networks: moved and disturbed images, adversarial ones, and images of none of the classes.

    python -m benchmarks.robustness RUN... [--data fashion-mnist] [--foreign FOLDER]... [--output FILE.json]

docs/robustness.md says what is measured and how.
"""
