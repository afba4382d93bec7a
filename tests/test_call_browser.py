"""The page of a call in headless Chromium: its pictures, its sliders, its figures.

    pip install '.[browser-test]' && pytest -m browser tests/test_call_browser.py
    HVC_CALL_SCREENSHOT=docs/call.png pytest -m browser tests/test_call_browser.py

First a call that stands still, so that no network is compiled, then a real one.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hvc_jax.call.call import Call, Figures
from hvc_jax.call.statistics import Latest
from hvc_jax.codec.load import load
from hvc_jax.data.clips import write_video
from hvc_jax.ops.compile import keep_compiled_programs
from hvc_jax.synth.people import render_clip

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

ROOT = Path(__file__).parents[1]
SIDE = 128
MILLISECONDS = 300_000
"""Longest wait for anything, on a machine that does other things as well."""


class StillCall:
    """Stands for a `Call`: two pictures and fixed figures."""

    def __init__(self) -> None:
        self.network_now, self.keys_asked = (0.0, 0.05), 0
        self.sender = SimpleNamespace(shown=Latest())
        self.receiver = SimpleNamespace(shown=Latest(), ask_for_key=self._ask)
        self.receiver.hearing = SimpleNamespace(loudness=0.25)
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


@contextlib.contextmanager
def shown(call: Any) -> Iterator[Any]:
    """The page of a call in a browser."""
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


@pytest.fixture
def page(call: StillCall) -> Iterator[Any]:
    with shown(call) as opened:
        yield opened


def set_loss(page: Any, per_cent: int) -> None:
    box = page.locator(
        "xpath=//label[text()='Loss (%)']/ancestor::div[.//input[@inputmode]][1]//input[@inputmode]"
    ).first
    box.fill(str(per_cent))
    box.press("Enter")


def wait(page: Any, ready: Callable[[], bool]) -> None:
    end = time.monotonic() + MILLISECONDS / 1000
    while not ready():
        assert time.monotonic() < end, "nothing happened"
        page.wait_for_timeout(100)


def test_the_page_shows_both_ends_and_sets_the_network(call: StillCall, page: Any) -> None:
    page.get_by_text("182 ms median").wait_for()
    assert page.get_by_text("10 (10.0%)").count() == 1
    assert page.locator("img[src^=blob]").count() == 2
    set_loss(page, 20)
    page.get_by_text("Ask for a new key picture").click()
    wait(page, lambda: call.keys_asked == 1 and call.network_now == (0.2, 0.05))


@pytest.mark.usefixtures("as_users_have_it")
def test_a_real_call_is_seen_and_loses_packets(tmp_path: Path) -> None:
    keep_compiled_programs()
    clip = render_clip(11, 10, SIDE, framing="hips")
    write_video(tmp_path / "clip.mp4", clip.frames, 25)
    call = Call(load("keypoint"), tmp_path / "clip.mp4", SIDE)
    call.start()
    try:
        with shown(call) as page:
            page.get_by_text("Frames drawn").wait_for()
            wait(page, lambda: call.receiver.frames > 3)
            set_loss(page, 20)
            wait(page, lambda: call.network_now[0] == 0.2 and call.figures().lost > 0)
            if target := os.environ.get("HVC_CALL_SCREENSHOT"):
                page.wait_for_timeout(8000)  # figures are of the last five seconds
                for button in page.locator(".mantine-Notification-closeButton").all():
                    button.click()  # that there is no graphics card here
                page.wait_for_timeout(2000)
                page.screenshot(path=ROOT / target, timeout=MILLISECONDS)
    finally:
        call.stop()
