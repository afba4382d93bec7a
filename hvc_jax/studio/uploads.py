"""Files that browsers bring: an area of a page to drop them on, and the port that takes them.

viser hands over a file when all of it has arrived. Here its size and kind are looked at before its
first byte is read.
"""

import contextlib
import functools
import html
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qs, urlsplit

from hvc_jax.studio.folder import Folder

_PART = 1 << 16
_PATIENCE = 30.0  # seconds that a browser may send nothing

_AREA = (
    '<label style="display:block;position:relative;margin:.5em 1em;padding:1.6em 1em;'
    'text-align:center;font-size:.9em;border:2px dashed #999;border-radius:.5em">'
    '<span style="overflow-wrap:anywhere">{text}</span>'
    '<input type="file" aria-label="{label}" onchange="{script}" style="position:absolute;'
    'inset:0;width:100%;height:100%;opacity:0;cursor:pointer"></label>'
)
"""A browser takes files that are dropped on its own file chooser, which covers the area."""

_SCRIPT = """\
const chooser = this, file = chooser.files[0], request = new XMLHttpRequest();
const say = text => chooser.previousElementSibling.textContent = text;
const end = text => {{ say(text); chooser.value = ''; chooser.disabled = false; }};
if (!file) return;
if (file.size > {most}) return end(file.name + ' has more than the {mib} MiB that are taken');
request.open('POST', 'http://' + location.hostname + ':{port}/{token}?name='
  + encodeURIComponent(file.name));
request.upload.onprogress = event =>
  say(file.name + ': ' + Math.floor(100 * event.loaded / event.total) + ' %');
request.onload = () => end(request.responseText);
request.onerror = () => end(file.name + ' did not arrive; is port {port} reached from here?');
chooser.disabled = true;
request.send(file);
"""


class Uploads:
    """A port that takes files for pages, each under a secret address. `port`: It."""

    def __init__(self, folder: Folder, host: str, port: int) -> None:
        """Starts to listen on the page's host; `Folder.most_bytes` is the largest file."""
        self.port, self._folder = port, folder
        self._taken: dict[str, Callable[[Path], None]] = {}
        server = _Server6 if ":" in host else ThreadingHTTPServer
        self._server = server((host, port), functools.partial(_Request, self, folder))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="uploads", daemon=True).start()

    def open(self, taken: Callable[[Path], None]) -> str:
        """Returns a new secret address; `taken` is told, in some thread, what arrived under it."""
        token = secrets.token_urlsafe(16)
        self._taken[token] = taken
        return token

    def close(self, token: str) -> None:
        """Takes nothing more under an address."""
        self._taken.pop(token, None)

    def find(self, token: str) -> Callable[[Path], None] | None:
        """What is told of files under an address; None where nothing is taken."""
        return self._taken.get(token)

    def stop(self) -> None:
        """Closes the port."""
        self._server.shutdown()
        self._server.server_close()

    def area(self, token: str, label: str) -> str:
        """HTML of an area that sends what is dropped on it, or chosen after a click."""
        most = self._folder.most_bytes
        script = _SCRIPT.format(most=most, mib=most >> 20, port=self.port, token=token)
        label = html.escape(label)
        text = f"{label}: drop it here, or click (at most {most >> 20} MiB)"
        return _AREA.format(text=text, label=label, script=html.escape(script))


class _Server6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


class _Request(BaseHTTPRequestHandler):
    """One request to an `Uploads`. An answer before the body ends the connection unread."""

    timeout = _PATIENCE

    def __init__(self, uploads: Uploads, folder: Folder, *arguments) -> None:
        self._uploads, self._folder = uploads, folder
        super().__init__(*arguments)

    def do_OPTIONS(self) -> None:  # noqa: N802  the name that http.server looks for
        """Tells a browser that the page, on another port, may send here."""
        self._answer(204 if self._own_origin() else 403, "")

    def do_POST(self) -> None:  # noqa: N802
        """Takes a file: /SECRET?name=NAME."""
        address = urlsplit(self.path)
        name = parse_qs(address.query).get("name", [""])[0]
        taken = self._uploads.find(address.path[1:])
        length = self.headers.get("Content-Length", "")
        most = self._folder.most_bytes
        if taken is None:
            return self._answer(404, "Nothing is taken here; open the page anew.")
        if not self._own_origin():
            return self._answer(403, "Another page may not send files here.")
        if not length.isascii() or not length.isdigit():
            return self._answer(411, "The size of the file is not told.")
        if len(length) > 18 or int(length) > most:
            return self._answer(413, f"At most {most >> 20} MiB are taken; use the folder.")
        try:
            path = self._folder.receive(name, _parts(self.rfile, int(length)))
        except ValueError as error:
            return self._answer(400, str(error))
        self._answer(201, f"{path.name} has arrived.")
        taken(path)

    def _own_origin(self) -> bool:
        """Whether a page of this host sends, or no page at all."""
        origin = self.headers.get("Origin")
        here = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        return origin is None or urlsplit(origin).hostname == here

    def _answer(self, status: int, text: str) -> None:
        with contextlib.suppress(OSError):  # the browser has gone
            self._send(status, text.encode())

    def _send(self, status: int, data: bytes) -> None:
        self.send_response(status)
        if self._own_origin() and "Origin" in self.headers:
            self.send_header("Access-Control-Allow-Origin", self.headers["Origin"])
            self.send_header("Access-Control-Allow-Headers", "Content-Type")
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_) -> None:
        """Tells nothing; the address is a secret."""


def _parts(file: BinaryIO, length: int) -> Iterator[bytes]:
    """Yields `length` bytes of a file; raises ValueError where it ends before."""
    while length:
        part = b""
        with contextlib.suppress(OSError):
            part = file.read(min(_PART, length))
        if not part:
            raise ValueError("the file broke off")
        length -= len(part)
        yield part
