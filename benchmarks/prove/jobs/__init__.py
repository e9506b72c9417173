"""What is not a command of capsedge and may crash with a driver: one file a job, each in a process of its own.

`python -m benchmarks.prove.jobs NAME < QUESTION > ANSWER`, both JSON (`benchmarks.prove.asked`).
"""
