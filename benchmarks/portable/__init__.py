"""Checks on other processors: the commands of the edge, the gate and int8 on processors that QEMU emulates.

`python -m benchmarks.portable [--only NAMES] [--images N] [--json FILE]`, or `make portable` (docs/portable.md).
"""
