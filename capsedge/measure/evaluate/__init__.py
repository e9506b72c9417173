"""Evaluating a model on labelled images: errors, confusion, calibration, thresholds."""
