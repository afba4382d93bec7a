"""Both ends of a call over a real UDP socket: pictures, sound, loss, an avatar, foreign packets."""

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sound_cases import make_clip
from tiny_export import SIDE, make_export, make_frames

from hvc_jax.call.call import Call
from hvc_jax.cli.main import main
from hvc_jax.codec.codec import Codec
from hvc_jax.models.export import load_export

SECONDS = 300
"""Longest wait for anything, on a machine that does other things as well."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip with sound."""
    path = tmp_path_factory.mktemp("call") / "clip.mkv"
    make_clip(path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    make_export(folder, "keypoint")
    return folder / "keypoint.safetensors"


def wait(call: Call, ready: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not ready():
        call.check()
        assert time.monotonic() < end, call.figures()
        time.sleep(0.05)


def test_pictures_and_sound_arrive_and_a_bad_network_is_survived(clip: Path, model: Path) -> None:
    call = Call(Codec(load_export(model)), clip, SIDE)
    call.start()
    try:
        wait(call, lambda: call.receiver.frames > 5 and call.receiver.sound_packets > 10)
        figures = call.figures()
        assert figures.foreign == 0 and 0 < figures.latency_ms < 1000 * SECONDS
        assert figures.picture_kbps > 0 and figures.sound_kbps > 0
        assert call.receiver.shown.take(5).shape == (SIDE, SIDE, 3)

        # Packets of others, and damaged ones, are counted and not taken.
        stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for noise in (b"", b"hello", bytes(1500), bytes(range(200))):
            stranger.sendto(noise, call._in.address)
        stranger.close()
        wait(call, lambda: call.figures().foreign >= 3)

        # A fifth of all packets is lost, also parts of the key picture that is asked for now.
        call.network(0.2, 0.03)
        key, drawn = call.receiver._key.number, call.receiver.frames
        call.receiver.ask_for_key()
        wait(call, lambda: call.receiver._key.number != key)
        wait(call, lambda: call.figures().lost > 0 and call.receiver.frames > drawn + 5)
    finally:
        call.stop()
    assert all(not thread.is_alive() for thread in call.receiver._threads)


def test_an_avatar_is_sent_instead_of_the_person(clip: Path, model: Path) -> None:
    avatar = make_frames(1)[0]  # bright, where every frame of the clip is black
    call = Call(Codec(load_export(model)), clip, SIDE, avatar=avatar, qp=20)
    call.start()
    try:
        wait(call, lambda: call.receiver.frames > 0)
        shown = call.receiver._key.picture.astype(float)
        assert np.abs(shown - avatar).mean() < 12 and call.sender.shown.take(5).max() < 20
        call.sender.refresh()  # asks for nothing that would show the person
        call.receiver.ask_for_key()
        frames = call.receiver.frames
        wait(call, lambda: call.receiver.frames > frames + 3)
        assert np.abs(call.receiver._key.picture - avatar.astype(float)).mean() < 12
    finally:
        call.stop()


def test_the_command_measures(clip: Path, model: Path, capsys: pytest.CaptureFixture) -> None:
    argv = ["call", str(clip), "--size", str(SIDE), "--model", str(model), "--variant", "keypoint"]
    argv += ["--no-page", "--seconds", "4", "--loss", "5"]
    assert main([*argv, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["seconds"] >= 4 and 0 < figures["drawn"] <= figures["sent"]
    assert main([*argv, "--loss", "30"]) == 2
    assert "0 to 20 per cent" in capsys.readouterr().err
    argv[1] = "/dev/video99"
    assert main(argv) == 2
    assert "no camera that can be opened" in capsys.readouterr().err
