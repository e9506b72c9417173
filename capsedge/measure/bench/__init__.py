"""Latency of several models, measured side by side, interleaved.

Reading order: `plan` says what to measure, `benchmark` measures a whole command, `sweep` a grid of variants,
`measure` one group side by side, `loop` its warm-up and rounds; `stats` has the statistics, `report` the records,
`files` their files, `show` what they look like, and `baseline` tells whether something became slower. Import from
these: the help needs only the plan.
"""
