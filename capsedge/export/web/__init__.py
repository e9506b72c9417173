"""A page that classifies images in the browser: static files, no server, no request.

It needs neither torch nor onnx, so that a device that only runs models can write it. docs/web.md describes the page.
"""

from capsedge.export.web.write import write_page

__all__ = ["write_page"]
