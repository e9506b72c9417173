"""A real server that is not ours, run by `make triton`; the suite leaves these tests out."""
