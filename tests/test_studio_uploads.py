"""What browsers send to the studio: limited before it is read, under secret addresses, whole."""

import http.client
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hvc_jax.studio.folder import Folder
from hvc_jax.studio.uploads import Uploads
from hvc_jax.studio.web import free_port

MOST = 1000


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[Uploads]:
    started = Uploads(Folder(tmp_path, most_bytes=MOST), "127.0.0.1", free_port("127.0.0.1", 8930))
    yield started
    started.stop()


def send(
    uploads: Uploads, token: str, name: str, body: bytes, method: str = "POST", **headers: Any
) -> tuple[int, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", uploads.port, timeout=10)
    connection.request(method, f"/{token}?name={name}", body, headers)
    answer = connection.getresponse()
    return answer.status, answer


def head_only(uploads: Uploads, token: str, name: str, length: str, body: bytes = b"") -> bytes:
    """The answer to a request whose body does not come, or breaks off."""
    with socket.create_connection(("127.0.0.1", uploads.port), timeout=10) as end:
        end.sendall(
            f"POST /{token}?name={name} HTTP/1.1\r\nHost: 127.0.0.1\r\n{length}\r\n".encode() + body
        )
        if body:
            end.shutdown(socket.SHUT_WR)
        return end.makefile("rb").read()


def test_a_file_arrives_under_a_plain_name_that_is_free(uploads: Uploads, tmp_path: Path) -> None:
    came: list[Path] = []
    arrived = threading.Event()
    token = uploads.open(lambda path: (came.append(path), arrived.set()))
    for number, sent in enumerate(("..%2F..%2Fdance.bvh", "dance.bvh", "%C3%A4%2Fd%3Ca%3E.bvh")):
        arrived.clear()
        status, answer = send(uploads, token, sent, bytes([number]) * MOST)
        assert status == 201 and b"arrived" in answer.read()
        assert arrived.wait(10)
    assert [path.name for path in came] == ["dance.bvh", "dance 1.bvh", "d_a_.bvh"]
    assert [path.read_bytes() for path in came] == [bytes([n]) * MOST for n in range(3)]
    assert {path.parent for path in came} == {tmp_path}


def test_what_is_refused_is_not_read(uploads: Uploads, tmp_path: Path) -> None:
    token = uploads.open(lambda path: pytest.fail("was taken"))
    too_much = f"Content-Length: {MOST + 1}\r\n"
    # The answers come though not one byte of a body does.
    assert b" 413 " in head_only(uploads, token, "a.hvc", too_much)
    assert b" 413 " in head_only(
        uploads, token, "a.hvc", "Content-Length: 99999999999999999999\r\n"
    )
    assert b" 411 " in head_only(uploads, token, "a.hvc", "")
    assert b" 411 " in head_only(uploads, token, "a.hvc", "Content-Length: -1\r\n")
    assert b" 400 " in head_only(uploads, token, "a.exe", "Content-Length: 5\r\n")
    assert b" 400 " in head_only(uploads, token, "", "Content-Length: 5\r\n")
    assert b" 404 " in head_only(uploads, "guessed", "a.hvc", "Content-Length: 5\r\n")
    assert b" 404 " in head_only(uploads, "", "a.hvc", "Content-Length: 5\r\n")
    uploads.close(token)
    assert b" 404 " in head_only(uploads, token, "a.hvc", "Content-Length: 5\r\n")
    assert send(uploads, token, "a.hvc", b"", "GET")[0] == 501
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_breaks_off_leaves_nothing(uploads: Uploads, tmp_path: Path) -> None:
    token = uploads.open(lambda path: pytest.fail("was taken"))
    assert b" 400 " in head_only(uploads, token, "a.hvc", "Content-Length: 500\r\n", bytes(200))
    assert list(tmp_path.iterdir()) == []


def test_other_sites_are_refused(uploads: Uploads, tmp_path: Path) -> None:
    token = uploads.open(lambda path: None)
    other, own = "http://example.org", "http://127.0.0.1:8080"
    assert send(uploads, token, "a.hvc", b"x", Origin=other)[0] == 403
    assert send(uploads, token, "a.hvc", b"", "OPTIONS", Origin=other)[0] == 403
    assert list(tmp_path.iterdir()) == []
    status, answer = send(uploads, token, "a.hvc", b"", "OPTIONS", Origin=own)
    assert status == 204 and answer.headers["Access-Control-Allow-Origin"] == own
    assert send(uploads, token, "a.hvc", b"x", Origin=own)[0] == 201


def test_two_files_of_one_name_at_once_both_arrive(tmp_path: Path) -> None:
    folder, halfway, go_on = Folder(tmp_path), threading.Event(), threading.Event()

    def slow() -> Iterator[bytes]:
        yield b"first"
        halfway.set()
        assert go_on.wait(10)

    thread = threading.Thread(target=lambda: folder.receive("a.hvc", slow()))
    thread.start()
    assert halfway.wait(10)
    assert folder.receive("a.hvc", [b"second"]).name == "a 1.hvc"
    go_on.set()
    thread.join(10)
    assert (tmp_path / "a.hvc").read_bytes() == b"first"
