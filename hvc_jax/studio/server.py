"""The web server of the studio: a page for every browser, each with its own session."""

import contextlib
import io
import socket
import threading
from pathlib import Path

import numpy as np

from hvc_jax.studio.folder import Folder

_PORTS = 100


def free_port(host: str, port: int) -> int:
    """The first port from `port` on that nobody listens on.

    Raises:
      ValueError: The host is no address of this machine, or no port is free.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in range(port, min(port + _PORTS, 65536)):
        with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, number))
                return number
            except PermissionError as error:
                raise ValueError(
                    f"--port {number} needs more rights; use one above 1023"
                ) from error
            except socket.gaierror as error:
                raise ValueError(f"--host {host} is no address; use 127.0.0.1") from error
            except OSError as error:
                if error.errno == 99:  # EADDRNOTAVAIL
                    raise ValueError(
                        f"--host {host} is no address of this machine; use 127.0.0.1"
                    ) from error
    raise ValueError(f"no port from {port} on is free; name another with --port")


class Studio:
    """A server that runs until it is stopped.

    Attributes:
      url: Where its page is.
    """

    def __init__(
        self,
        folder: Folder,
        stream: Path,
        source: np.ndarray | None = None,
        host: str = "127.0.0.1",
        port: int = 8080,
    ) -> None:
        """Starts to serve.

        Args:
          folder: Where files are.
          stream: What every new page shows.
          source: [T, H, W, 3] uint8 of the clip that it was made from, if that is known.
          host: Address to listen on; others than loopback open the page to the network.
          port: The first that is tried.

        Raises:
          ModuleNotFoundError: viser is not installed.
        """
        try:
            import viser
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "the studio needs viser; pip install 'hvc_jax[studio]'", name="viser"
            ) from error

        from hvc_jax.studio.page import Page

        port = free_port(host, port)
        with contextlib.redirect_stdout(io.StringIO()):  # its banner; the command prints the link
            self._server = viser.ViserServer(host, port, verbose=False)
        # The view of the body: from the front, y up, as the camera of the clip sees it.
        self._server.scene.set_up_direction("+y")
        view = self._server.initial_camera
        view.up, view.position, view.look_at = (0.0, 1.0, 0.0), (0.0, 0.3, 2.6), (0.0, 0.1, 0.0)
        self._pages: dict[int, Page] = {}
        self._lock = threading.Lock()
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        self.url = f"http://{shown}:{self._server.get_port()}"

        @self._server.on_client_connect
        def _(client: viser.ClientHandle) -> None:
            page = Page(client, folder, stream, source)
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
        self._server.stop()
