"""Latency of several models, measured side by side in one run.

`measure.measure` measures, `plan.Plan` says what, `report` has the records, `sweep` a grid of measurements, `formats`
the files, and `baseline` tells whether it became slower. Import from these: the help needs only the plan.
"""
