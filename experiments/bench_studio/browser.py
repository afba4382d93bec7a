"""Control to picture as a person has it: from a key that moves a slider to the picture on the page.

    pip install '.[browser-test]' && python experiments/bench_studio/browser.py clip.hvc

Headless Chromium opens the page and moves "Head yaw" step by step. A change is over when the large
picture has another source and is decoded. Studio and browser share the machine, and the mesh is
drawn without a graphics card.
"""

import argparse
import os
import shutil
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

from hvc_jax.ops.compile import keep_compiled_programs
from hvc_jax.studio.folder import Folder
from hvc_jax.studio.server import Studio

_PAUSE_MS = 300  # between two changes: mesh and small pictures are renewed

_CHANGE = """
() => new Promise(resolve => {
  const label = [...document.querySelectorAll('label')].find(
    one => one.textContent === 'Head yaw (deg)');
  let box = label;
  while (!box.querySelector('[role=slider]')) box = box.parentElement;
  const picture = [...document.querySelectorAll('img')].find(one => one.src.startsWith('blob:'));
  const observer = new MutationObserver(async () => {
    observer.disconnect();
    await picture.decode().catch(() => {});  // a newer one has replaced it
    resolve(performance.now() - started);
  });
  observer.observe(picture, {attributes: true, attributeFilter: ['src']});
  setTimeout(() => { observer.disconnect(); resolve(null); }, 1500);
  const started = performance.now();
  box.querySelector('[role=slider]').dispatchEvent(
    new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}));
})
"""


def chromium() -> str:
    """The browser's program.

    Raises:
      FileNotFoundError: None is installed.
    """
    names = "chromium", "chromium-browser", "google-chrome"
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise FileNotFoundError("no Chromium is installed; install one")
    return found


def times(page: Page, changes: int) -> np.ndarray:
    """Milliseconds [changes] from a key to the picture, after three that are not counted.

    Half a degree is less than a step of what is sent: where the picture stays, nothing is counted.
    """
    found: list[float] = []
    for _ in range(4 * (changes + 3)):
        time_ = page.evaluate(_CHANGE)
        found += [] if time_ is None else [time_]
        page.wait_for_timeout(_PAUSE_MS)
        if len(found) == changes + 3:
            break
    return np.array(found[3:])


def main() -> None:
    """Prints median and 95th percentile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stream", type=Path)
    parser.add_argument("--changes", type=int, default=40)
    arguments = parser.parse_args()
    keep_compiled_programs()
    path = arguments.stream
    folder = Folder(path.parent)
    header = folder.open(path).player.header
    studio = Studio(folder, path, port=8850)
    with sync_playwright() as play:
        options = ["--no-sandbox", "--use-gl=swiftshader", "--enable-unsafe-swiftshader"]
        browser = play.chromium.launch(executable_path=chromium(), args=options)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(300_000)
        page.goto(studio.url)
        page.get_by_text("Head yaw (deg)").wait_for()
        time.sleep(5)
        found = times(page, arguments.changes)
        browser.close()
    studio.stop()
    median, late = np.percentile(found, (50, 95))
    print(
        f"{header.variant} {header.width}x{header.height}, {len(found)} changes; load average "
        f"{os.getloadavg()[0]:.1f}: key to picture {median:.0f} ms median, {late:.0f} p95, "
        f"{found.min():.0f} least"
    )


if __name__ == "__main__":
    main()
