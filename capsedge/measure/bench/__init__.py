"""Measure the latency of several models, with their iterations interleaved.

Reading order: `plan` has the options of a measurement, `benchmark` runs a whole command, `sweep` a grid of variants,
`measure` one group of sessions, `loop` the warm-up and the rounds. `stats` computes the statistics, `report` has the
records, `files` reads and writes them, `show` formats them, and `baseline` compares two reports. Import from these
modules, not from the package: `capsedge bench --help` loads `plan` only.
"""
