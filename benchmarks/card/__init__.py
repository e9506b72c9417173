"""Cards of trained models: what a finished, exported run is, how often it errs and on what.

    python -m benchmarks.card RUN --output zoo/NAME

docs/zoo.md describes the folder that this fills.
"""
