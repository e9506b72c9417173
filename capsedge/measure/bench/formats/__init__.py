"""What a measurement is written as: JSON, CSV, Markdown, and a page for the browser."""

from capsedge.measure.bench.formats.files import check_output, check_suffix, load, save

__all__ = ["check_output", "check_suffix", "load", "save"]
