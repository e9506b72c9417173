"""Hostile input, kills and long runs: what docs/reliability.md promises, tried many times."""
