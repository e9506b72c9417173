"""Serves a folder on this machine only, with the headers that let a page use threads, and opens it in the browser.

    python scripts/serve_page.py build/web/edge-small-int8

A page also works without a server (open its index.html), on one thread. Ctrl-C ends the server.
"""

import argparse
import sys
import webbrowser
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MOST_PORT = 65_535


class Handler(SimpleHTTPRequestHandler):
    """Files, isolated from other sites: browsers give threads to such pages only."""

    def end_headers(self) -> None:
        """Add the headers of cross-origin isolation to each answer."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


def server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of a folder on 127.0.0.1.

    Args:
        folder: The folder.
        port: The port; 0 for a free one.
    """
    return ThreadingHTTPServer(("127.0.0.1", port), partial(Handler, directory=str(folder)))


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Serve a folder on this machine, and open it in the browser.")
    parser.add_argument("folder", type=Path, help="the folder with index.html")
    parser.add_argument("--port", type=int, default=0, help="the port; by default a free one")
    parser.add_argument("--no-open", action="store_true", help="do not open the browser")
    given = parser.parse_args()
    if not 0 <= given.port <= MOST_PORT:
        parser.exit(2, f"--port: expected a number from 0 to {MOST_PORT}, got {given.port}\n")
    if not (given.folder / "index.html").is_file():
        sys.exit(f"there is no page in '{given.folder}': capsedge export builtin --web FOLDER writes one")
    try:
        serving = server(given.folder, given.port)
    except OSError as error:
        sys.exit(f"port {given.port} cannot be used ({error.strerror}): give another with --port")
    with serving, suppress(KeyboardInterrupt):
        address = f"http://127.0.0.1:{serving.server_address[1]}/"
        print(f"{address} (Ctrl-C ends the server)", flush=True)
        if not given.no_open:
            webbrowser.open(address)
        serving.serve_forever()


if __name__ == "__main__":
    main()
