"""Profiling a model: its time by layer and by stage, compared with the roofline of this machine."""
