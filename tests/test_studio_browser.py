"""The studio in a real browser: headless Chromium moves the head of a synthetic person.

    pip install '.[browser-test]' && pytest -m browser
    HVC_SCREENSHOT=docs/studio.png pytest -m browser      also renews the README's picture

Skipped where there is no Chromium. Takes a few minutes on two free cores.
"""

import base64
import io
import os
import shutil
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from hvc_jax.body.assets import load_body
from hvc_jax.body.params import JOINT_INDEX
from hvc_jax.codec.load import load
from hvc_jax.data.clips import read_clip, write_video
from hvc_jax.studio.ik import joint_positions
from hvc_jax.synth.people import render_clip

pytest.importorskip("viser")
sync_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
) or next(map(str, Path.home().glob(".cache/ms-playwright/chromium*/chrome-*/*chrome*shell")), "")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed"),
]

ROOT = Path(__file__).parents[1]
FRAMES, SIDE, DEGREES = 10, 128, 35
SECONDS = 240
"""Longest wait for anything, on a machine that does other things as well."""


class Served(NamedTuple):
    """A studio that runs, and what it shows."""

    studio: Any
    folder: Path
    mask: np.ndarray
    head: tuple[float, float]
    most: int


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    from hvc_jax.studio.folder import Folder
    from hvc_jax.studio.server import Studio

    folder = tmp_path_factory.mktemp("browser")
    clip = render_clip(11, FRAMES, SIDE, framing="hips")
    codec = load("semantic")
    stream = codec.encode(clip.frames, fps=Fraction(25), bodies=clip.body)
    (folder / "person.hvc").write_bytes(stream)
    # As `hvc studio person.hvc` does, so that the command line on the page has a short name.
    before = Path.cwd()
    os.chdir(folder)
    most = 1 << 20
    studio = Studio(Folder(Path(), most_bytes=most), Path("person.hvc"), clip.frames, port=8765)
    joints = np.asarray(joint_positions(load_body(), jnp.asarray(clip.body[0])))
    scale, x, y = clip.body[0, -3:]
    across, up, _ = joints[JOINT_INDEX["head"]] + [x, y + 0.08, 0]
    head = (1 + scale * across) / 2, (1 - scale * up) / 2
    yield Served(studio, folder, clip.mask.max(0), head, most)
    studio.stop()
    os.chdir(before)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as play:
        arguments = ["--no-sandbox", "--use-gl=swiftshader", "--enable-unsafe-swiftshader"]
        started = play.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield started
        started.close()


def opened(browser: Any, served: Served) -> Any:
    """A new page in a context of its own, once the stream is shown."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(SECONDS * 1000)
    page.goto(served.studio.url)
    page.get_by_text("Head yaw (deg)").wait_for()
    wait(lambda: picture(page) is not None)
    return page


def wait(ready: Callable[[], Any]) -> None:
    end = time.monotonic() + SECONDS
    while not ready():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.2)


_READ = """
async () => {
  const found = [...document.querySelectorAll('img')].find(image => image.src.startsWith('blob:'));
  if (!found) return '';
  const bytes = new Uint8Array(await (await fetch(found.src)).arrayBuffer());
  return btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(''));
}
"""


def picture(page: Any) -> np.ndarray | None:
    """The large picture [SIDE, SIDE, 3] that the page shows; None while there is none."""
    data = page.evaluate(_READ)
    if not data:
        return None
    shown = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    found = np.asarray(shown.resize((SIDE, SIDE), Image.Resampling.BOX), float)
    return None if (found > 250).all() else found


def set_number(page: Any, label: str, value: float) -> None:
    box = page.locator(
        f"xpath=//label[text()='{label}']/ancestor::div[.//input[@inputmode]][1]//input[@inputmode]"
    ).first
    box.fill(str(value))
    box.press("Enter")


def choose(page: Any, label: str, option: str) -> None:
    """Chooses in a drop-down list."""
    page.get_by_label(label, exact=True).first.click()
    page.get_by_role("option", name=option, exact=True).click()


def drop(page: Any, label: str, path: Path) -> None:
    """Drops a file of the desktop on an area of the page, as a hand with a mouse does."""
    box = page.get_by_label(label, exact=True).bounding_box()
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(path.resolve())], "dragOperationsMask": 1}
    hand = page.context.new_cdp_session(page)
    for step in ("dragEnter", "dragOver", "drop"):
        hand.send("Input.dispatchDragEvent", {"type": step, "data": data, **place})


def on_screen(page: Any, client: Any, point: np.ndarray) -> tuple[float, float]:
    """Where on the page a point [3] of the 3D view is, in pixels."""
    camera = client.camera
    w, x, y, z = camera.wxyz
    turn = Rotation.from_quat([x, y, z, w]).as_matrix()
    across, down, away = turn.T @ (point - camera.position)  # x right, y down, z into the view
    box = max(
        (canvas.bounding_box() for canvas in page.locator("canvas").all()),
        key=lambda box: box["width"] * box["height"],
    )
    focal = box["height"] / 2 / np.tan(camera.fov / 2) / away
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    return middle[0] + focal * across, middle[1] + focal * down


def differs(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.abs(a - b).max() > 40)


@pytest.mark.usefixtures("as_users_have_it")
def test_the_head_turns_is_undone_and_exported(browser: Any, served: Served) -> None:
    page = opened(browser, served)
    before = picture(page)
    set_number(page, "Head yaw (deg)", DEGREES)
    wait(lambda: differs(picture(page), before))
    after = picture(page)

    difference = np.abs(after - before).mean(-1)
    line = (np.arange(SIDE) + 0.5) / SIDE
    x, y = np.meshgrid(line, line)
    around = (x - served.head[0]) ** 2 + (y - served.head[1]) ** 2 < 0.12**2
    person = np.asarray(Image.fromarray(np.uint8(served.mask * 255)).resize((SIDE, SIDE)).reduce(8))
    # Away from the person by two blocks of 8 pixels: what hair and the picture's own coding reach.
    far, blocks = np.pad(person > 0, 2), SIDE // 8
    near = sum(far[i : i + blocks, j : j + blocks] for i in range(5) for j in range(5)) > 0
    background = ~near.repeat(8, 0).repeat(8, 1)
    assert difference[around].mean() > 6, difference[around].mean()
    assert difference[background].mean() < 1.0, difference[background].mean()
    assert page.get_by_text("--set head_y+=35deg").count() == 1
    if target := os.environ.get("HVC_SCREENSHOT"):
        time.sleep(5)
        for button in page.locator(".mantine-Notification-closeButton").all():
            button.click()  # that there is no graphics card here
        time.sleep(2)
        page.screenshot(path=ROOT / target, timeout=SECONDS * 1000)

    other = opened(browser, served)
    assert not differs(picture(other), before) and other.get_by_text("No edits.").count() == 1
    other.context.close()

    page.get_by_role("tab", name="Save").click()
    page.get_by_role("button", name="Save .hvc").click()
    exported = served.folder / "person_edited.hvc"
    wait(exported.exists)
    decoded = next(iter(load("semantic").decode(exported.read_bytes()))).astype(float)
    assert np.abs(decoded - after).mean() < 6
    assert not differs_in_mean(decoded, after, around)

    page.get_by_role("tab", name="Change").click()
    page.get_by_text("Undo", exact=True).click()
    wait(lambda: not differs(picture(page), before))
    assert page.get_by_text("No edits.").count() == 1
    page.context.close()
    assert {path.name for path in served.folder.iterdir()} >= {"person.hvc", "person_edited.hvc"}


def differs_in_mean(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> bool:
    return bool(np.abs(a - b)[where].mean() > 10)


def test_a_joint_is_dragged_in_the_3d_view(browser: Any, served: Served) -> None:
    page = opened(browser, served)
    before = picture(page)
    shown = max(served.studio._pages.items())[1]
    choose(page, "Drag a joint", "right elbow")
    wait(lambda: shown._scene.joint == "right_elbow" and shown._scene._handle.position[0] != 0)
    start = np.array(shown._scene._handle.position)

    def drag() -> bool:
        """Whether the arrow was there yet to be taken, on a machine that draws slowly."""
        # On the arrow that points up; where it was missed, the view has turned since.
        x, y = on_screen(page, shown.client, shown._scene._handle.position + [0, 0.14, 0])
        page.mouse.move(x, y + 3)
        page.wait_for_timeout(200)
        page.mouse.move(x, y)
        page.mouse.down()
        for step in range(1, 9):
            page.mouse.move(x, y - 8 * step)
            page.wait_for_timeout(50)
        page.mouse.up()
        page.wait_for_timeout(500)
        return bool(shown.session.history.edits)

    wait(drag)
    wait(lambda: differs(picture(page), before))
    wait(lambda: page.get_by_text("right_shoulder").count() > 0)

    def height() -> float:
        joints = joint_positions(load_body(), jnp.asarray(shown.session.latent(0)))
        return float(joints[JOINT_INDEX["right_elbow"], 1])

    wait(lambda: height() > start[1] + 0.05)
    assert all("right_" in e.line or "spine" in e.line for e in shown.session.history.edits)

    # The browser is closed while a video is written: it is whole, or not there.
    page.get_by_role("tab", name="Save").click()
    page.get_by_role("button", name="Save .mp4").click()
    page.context.close()
    shown._worker._thread.join(SECONDS)
    written = [path for path in served.folder.iterdir() if path.suffix == ".mp4"]
    assert [path.name for path in written] in ([], ["person_edited.mp4"])
    assert all(len(read_clip(path, SIDE).frames) == FRAMES for path in written)


def test_a_video_drives_and_another_is_dropped(
    browser: Any, served: Served, tmp_path: Path
) -> None:
    clip = render_clip(12, 5, SIDE, framing="hips")
    write_video(served.folder / "other.mp4", clip.frames, 25)
    page = opened(browser, served)
    shown = max(served.studio._pages.items())[1]
    page.get_by_role("tab", name="Motion").click()
    text = page.locator(
        "xpath=//label[text()='Camera or video']/ancestor::div[.//input][1]//input"
    ).first
    text.fill("other.mp4")
    page.get_by_role("button", name="Start", exact=True).click()
    wait(lambda: shown._live is not None and len(shown._live.bodies) > 3)
    page.get_by_role("button", name="Stop and keep the motion").click()
    wait(lambda: shown.session.history.edits)
    assert shown.session.command().split()[4:6] == ["--retarget", "live.npy"]
    assert np.load(served.folder / "live.npy").shape[1] == 188

    page.get_by_role("tab", name="Open").click()
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(served.most + 1))
    drop(page, "A stream or video", large)
    page.get_by_text("large.mp4 has more than the 1 MiB that are taken").wait_for()
    drop(page, "A stream or video", served.folder / "other.mp4")
    page.get_by_text("Encoding other 1.mp4").wait_for()
    wait(lambda: shown.session.path.name == "other 1.hvc")  # that name was taken
    page.get_by_role("tab", name="Change").click()
    page.get_by_text("other 1.hvc").first.wait_for()
    assert shown.session.opened.player.header.variant == "hybrid"
    assert not list(served.folder.glob("large*")) and not list(served.folder.glob(".*"))
    wait(lambda: np.abs(picture(page) - clip.frames[0]).mean() < 12)
    page.context.close()
