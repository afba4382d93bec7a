"""The web server of the studio: a page for every browser, each with its own session."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hvc_jax.studio.folder import Folder
from hvc_jax.studio.uploads import Uploads
from hvc_jax.studio.web import free_port, open_server

if TYPE_CHECKING:
    import viser

_LAST_SECONDS = 10.0  # for what pages are doing when the server stops


class Studio:
    """A server that runs until it is stopped. `url`: Where its page is."""

    def __init__(
        self,
        folder: Folder,
        stream: Path,
        source: np.ndarray | None = None,
        host: str = "127.0.0.1",
        port: int = 8080,
    ) -> None:
        """Starts to serve a folder; `stream` is what every new page shows.

        `source`: [T, H, W, 3] uint8 of the clip that it was made from, if that is known; `host`:
        others than loopback open the page to the network; `port`: the first that is tried. Raises
        ModuleNotFoundError: viser is not installed.
        """
        self._server, self.url = open_server(host, port)
        uploads = self._uploads = Uploads(
            folder, host, free_port(host, self._server.get_port() + 1)
        )
        from hvc_jax.studio.page import Page

        # The view of the body: from the front, y up, as the camera of the clip sees it.
        self._server.scene.set_up_direction("+y")
        view = self._server.initial_camera
        view.up, view.position, view.look_at = (0.0, 1.0, 0.0), (0.0, 0.3, 2.6), (0.0, 0.1, 0.0)
        self._pages: dict[int, Page] = {}
        self._lock = threading.Lock()

        @self._server.on_client_connect
        def _(client: viser.ClientHandle) -> None:
            page = Page(client, folder, uploads, stream, source)
            with self._lock:
                self._pages[client.client_id] = page

        @self._server.on_client_disconnect
        def _(client: viser.ClientHandle) -> None:
            with self._lock:
                page = self._pages.pop(client.client_id, None)
            if page is not None:
                page.close()

    def stop(self) -> None:
        """Closes every page and the port."""
        with self._lock:
            pages, self._pages = list(self._pages.values()), {}
        for page in pages:
            page.close()
        for page in pages:
            page.ended(_LAST_SECONDS)
        self._uploads.stop()
        self._server.stop()
