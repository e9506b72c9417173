"""The page in headless Firefox, against `capsedge infer`: `make browser`."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from capsedge.runtime.infer.classify import DetailedPrediction, predict
from capsedge.runtime.models import find_model
from capsedge.runtime.open import open_session
from tests.export.web.conftest import differing
from tests.export.web.images import saved_in

SHOE = "samples/ankle-boot-1045.png"


@pytest.mark.parametrize(("model", "name"), [("builtin", "edge-small-int8"), ("edge-base", "edge-base")])
def test_images_of_odd_sizes_get_the_answers_and_lengths_of_infer(
    model: str, name: str, served: str, firefox: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    files, paths = saved_in(tmp_path)

    seen = firefox(f"{served}/{name}/index.html", [base64.b64encode(content).decode() for _, content in files], SHOE)

    with open_session(find_model(model)) as session:
        wanted = list(predict(session, paths, batch=1, read_ahead=False))
        (shoe,) = predict(session, [Path(SHOE)])
        assert isinstance(shoe, DetailedPrediction)
    titles = [title for title, _ in files]
    # Firefox rounds the colours of a WebP otherwise, and images of noise show it in the lengths.
    assert differing(titles, wanted, seen["classified"], length=0.05, shades=1) == []
    assert [title for title, *_ in differing(titles, wanted, seen["classified"]) if "webp" not in title] == []
    assert seen["status"].startswith(f"ankle-boot; the longest capsule has length {shoe.lengths.max():.3f}.")
    assert {url for url in seen["requests"] if url.startswith(("http", "ws"))} == {f"{served}/{name}/index.html"}
    assert (seen["error"], seen["errors"], seen["isolated"]) == ("", [], True)
