"""The page of a call in headless Chromium: its pictures, its sliders, its figures.

    pip install '.[browser-test]' && pytest -m browser tests/test_call_browser.py

A call that stands still is shown, so that no network is compiled; tests/test_call.py has real ones.
"""

import shutil
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hvc_jax.call.call import Figures
from hvc_jax.call.statistics import Latest

pytest.importorskip("viser")
sync_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed"),
]

MILLISECONDS = 300_000
"""Longest wait for anything, on a machine that does other things as well."""


class StillCall:
    """Stands for a `Call`: two pictures and fixed figures."""

    def __init__(self) -> None:
        self.network_now, self.keys_asked = (0.0, 0.05), 0
        self.sender = SimpleNamespace(shown=Latest())
        self.receiver = SimpleNamespace(shown=Latest(), loudness=0.25, ask_for_key=self._ask)
        for end, grey in ((self.sender, 60), (self.receiver, 200)):
            end.shown.put(np.full((256, 256, 3), grey, np.uint8))

    def _ask(self) -> None:
        self.keys_asked += 1

    def network(self, loss: float, jitter: float) -> None:
        self.network_now = loss, jitter

    def figures(self) -> Figures:
        numbers = dict.fromkeys(Figures._fields, 0)
        return Figures(**numbers | {"received": 90, "lost": 10, "latency_ms": 182.0})


@pytest.fixture
def call() -> StillCall:
    return StillCall()


@pytest.fixture
def page(call: StillCall) -> Iterator[Any]:
    from hvc_jax.studio.call_page import CallPage

    served = CallPage(call, port=8790)
    with sync_api.sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = started.new_page(viewport={"width": 1280, "height": 900})
        opened.set_default_timeout(MILLISECONDS)
        opened.goto(served.url)
        yield opened
        started.close()
    served.stop()


def test_the_page_shows_both_ends_and_sets_the_network(call: StillCall, page: Any) -> None:
    page.get_by_text("182 ms median").wait_for()
    assert page.get_by_text("10 (10.0%)").count() == 1
    assert page.locator("img[src^=blob]").count() == 2
    box = page.locator(
        "xpath=//label[text()='Loss (%)']/ancestor::div[.//input[@inputmode]][1]//input[@inputmode]"
    ).first
    box.fill("20")
    box.press("Enter")
    page.get_by_text("Ask for a new key picture").click()
    for _ in range(600):
        if call.keys_asked and call.network_now == (0.2, 0.05):
            break
        page.wait_for_timeout(100)
    assert call.keys_asked == 1 and call.network_now == (0.2, 0.05)
