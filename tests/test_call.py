"""Both ends of a call over a real UDP socket: pictures, sound, loss, an avatar, foreign packets."""

import json
import socket
import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sound_cases import make_clip
from tiny_export import SIDE, make_export, make_frames

from hvc_jax.call.call import Call
from hvc_jax.call.hearing import Hearing
from hvc_jax.call.packets import KeyMessage, KeyPart, unpack
from hvc_jax.cli.main import main
from hvc_jax.codec.codec import Codec
from hvc_jax.data.sound import OpusEncoder
from hvc_jax.models.export import load_export
from hvc_jax.stream.sound import PACKET_SAMPLES, SAMPLE_RATE, AudioGroup

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
        wait(call, lambda: call.receiver.frames > 5 and call.receiver.hearing.packets > 10)
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
        shown = call.receiver._key.frame.picture.astype(float)
        assert np.abs(shown - avatar).mean() < 12 and call.sender.shown.take(5).max() < 20
        call.sender._new_key = True  # asks for nothing that would show the person
        call.receiver.ask_for_key()
        frames = call.receiver.frames
        wait(call, lambda: call.receiver.frames > frames + 3)
        assert np.abs(call.receiver._key.frame.picture - avatar.astype(float)).mean() < 12
    finally:
        call.stop()


def test_a_receiver_shows_a_picture_of_its_own_and_gets_none(clip: Path, model: Path) -> None:
    avatar, sent = make_frames(1)[0], []
    call = Call(Codec(load_export(model)), clip, SIDE, receiver_avatar=avatar)
    send, call._out.send = call._out.send, lambda *packet: (sent.append(packet[0]), send(*packet))
    call.start()
    try:
        wait(call, lambda: call.receiver.frames > 3)
        np.testing.assert_array_equal(call.receiver._key.frame.picture, avatar)
    finally:
        call.stop()
    parts = [found[1] for found in map(unpack, sent) if isinstance(found[1], KeyPart)]
    assert parts and all(KeyMessage.read(part.data).key.payload == b"" for part in parts)


def test_sound_is_recorded_in_order_with_silence_for_what_is_lost(tmp_path: Path) -> None:
    time_ = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tone = np.stack([0.3 * np.sin(3000 * time_), 0.2 * np.sin(2000 * time_)], 1)
    packets = OpusEncoder(32, 2).push(tone)
    singles = [AudioGroup(7 + i, 2, 312, (packet,)) for i, packet in enumerate(packets)]
    hearing = Hearing(tmp_path / "heard.wav")
    lost = 20
    for i in (0, 2, 1, *range(3, lost), *range(lost + 1, len(singles))):
        hearing.push(singles[i], 0.02 * i)
    hearing.close()
    with wave.open(str(tmp_path / "heard.wav")) as file:
        assert file.getframerate() == SAMPLE_RATE
        data = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    data = data.reshape(-1, PACKET_SAMPLES * 2)
    assert len(data) == len(singles) and not data[lost].any() and data[1:lost].any(1).all()
    assert hearing.packets == len(singles) - 1 and 0 < hearing.loudness < 1


def test_the_command_measures(clip: Path, model: Path, capsys: pytest.CaptureFixture) -> None:
    argv = ["call", str(clip), "--size", str(SIDE), "--model", str(model), "--variant", "keypoint"]
    argv += ["--no-page", "--seconds", "4", "--loss", "5"]
    record = clip.with_name("heard.wav")
    assert main([*argv, "--json", "--record", str(record)]) == 0
    with wave.open(str(record)) as file:
        assert file.getnframes() > SAMPLE_RATE
    figures = json.loads(capsys.readouterr().out)
    assert figures["seconds"] >= 4 and 0 < figures["drawn"] <= figures["sent"]
    assert main([*argv, "--loss", "30"]) == 2
    assert "0 to 20 per cent" in capsys.readouterr().err
    argv[1] = "/dev/video99"
    assert main(argv) == 2
    assert "no camera that can be opened" in capsys.readouterr().err
