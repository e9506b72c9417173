"""The plots of the page: one a file, each from records to an inline SVG."""
