"""The web server of a page, the addresses that it listens on, and pictures in its sizes."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import socket
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import viser

_PORTS = 100
_LARGE, _SMALL = 400, 192  # heights of pictures, pixels


def free_port(host: str, port: int) -> int:
    """The first free port from `port` on; ValueError: there is none, or no such address."""
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


def open_server(host: str, port: int) -> tuple[viser.ViserServer, str]:
    """Starts a server; returns it with the address of its page.

    `host`: others than loopback open the page to the network; `port`: the first that is tried.
    Raises ModuleNotFoundError: viser is not installed. Raises ValueError: see `free_port`.
    """
    try:
        import viser
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the page needs viser; pip install viser", name="viser"
        ) from error
    with contextlib.redirect_stdout(io.StringIO()):  # its banner; commands print the link
        server = viser.ViserServer(host, free_port(host, port), verbose=False)
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return server, f"http://{shown}:{server.get_port()}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def enlarged(picture: np.ndarray) -> np.ndarray:
    """A picture [H, W, 3] uint8 that is at least _LARGE pixels high."""
    height, width = picture.shape[:2]
    if height >= _LARGE:
        return picture
    size = round(width * _LARGE / height), _LARGE
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def small(picture: np.ndarray) -> np.ndarray:
    """A picture [H, W, 3] uint8 at a height of _SMALL pixels."""
    width = max(1, round(picture.shape[1] * _SMALL / picture.shape[0]))
    return np.asarray(Image.fromarray(picture).resize((width, _SMALL), Image.Resampling.BILINEAR))
