"""capsedge: capsule networks whose routing is learned, collapsed into static weights, and run at the edge."""

__version__ = "0.1.0"
__all__ = ["__version__"]
