"""Importing OpenVINO without its telemetry."""

import sys
from typing import Any

from capsedge.runtime.loading import load

_TELEMETRY = "openvino_telemetry"


def load_openvino() -> Any:
    """Import OpenVINO.

    Its import alone (2026.4.1) would write an id of the user and a queue of events for Google Analytics into
    `~/intel`. OpenVINO works without its package `openvino_telemetry`, so that is hidden from the import. A package
    that a program has imported before stays (docs/decisions/0019-no-telemetry.md).

    Raises:
        MissingExtra: It is not installed.
        ProviderError: It is installed but does not load.
    """
    hidden = "openvino" not in sys.modules and _TELEMETRY not in sys.modules
    if hidden:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # the documented way to make an import fail
    try:
        return load("openvino", extra="openvino")
    finally:
        if hidden:
            del sys.modules[_TELEMETRY]
