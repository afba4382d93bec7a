"""The moving picture track of a video file: found, timed, decoded, deinterlaced, complete.

ffmpeg's libraries decode in process (PyAV). Names are handed to them as `file:NAME`, so that none
is taken for a URL, and nothing but files is opened, whatever a playlist asks for.
"""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av

from hvc_jax.data.deinterlace import Deinterlacer, field_order
from hvc_jax.data.errors import ClipError
from hvc_jax.data.sound import ClipSound
from hvc_jax.data.truncation import missing_bytes

_DURATION_IS_TOLD = {"mov", "mp4", "matroska", "webm", "flv", "asf", "nut"}
"""Formats whose duration stands in the file; ffmpeg takes that of others from what there is."""

_WITHOUT_TIMES = {"h264", "hevc", "vvc", "m4v", "mpegvideo", "obu", "vc1"}
"""Formats that are a coded stream and nothing else."""

_LOOKED_AT_IN_PIPES = 128  # packets that are held to find the frame rate
_LOOKED_AT_IN_FILES = 20_000
_REORDERED = 16  # packets by which decoding order may run ahead of showing order
_UNSPECIFIED = 2  # of primaries, transfer and matrix in ITU-T H.273
_NO_PICTURE_TRACK = "attached_pic", "timed_thumbnails", "still_image"


class Track(NamedTuple):
    """An open video track: an `InputContainer` of av, its `VideoStream`, the path as written."""

    container: Any
    stream: Any
    path: str

    @property
    def pixel_aspect(self) -> Fraction | None:
        """Width of a pixel divided by its height, None where the file does not say."""
        return self.stream.sample_aspect_ratio or None

    @property
    def declared_rate(self) -> Fraction | None:
        """Frames per second that the file names: the average, else ffmpeg's guess."""
        rates = [self.stream.average_rate, self.stream.guessed_rate, self.stream.base_rate]
        if self.container.format.name in _WITHOUT_TIMES:  # what the stream says; the average is 25
            rates.insert(0, self.stream.guessed_rate)
        return next((Fraction(rate) for rate in rates if rate and rate > 0), None)

    @property
    def end(self) -> float | None:
        """Seconds at which the file says that its longest track ends, None where it does not."""
        formats = set(self.container.format.name.split(","))
        if not formats & _DURATION_IS_TOLD or not self.container.duration:
            return None
        if "mp4" in formats and not self.stream.frames:
            return None  # fragments: ffmpeg adds up those that are there
        # That of Flash video and Matroska counts from 0, wherever the first frame stands.
        from_zero = formats & {"flv", "matroska", "webm"}
        start = 0 if from_zero else max(self.container.start_time or 0, 0)
        return (start + self.container.duration) / av.time_base


@contextmanager
def open_track(path: str | os.PathLike) -> Iterator[Track]:
    """Yields the moving picture track of a file; "-" is the standard input.

    Of several it is the one with the default flag, then the largest; never a cover picture.
    Raises ClipError: The file is missing, no video, or has sound or a cover picture only.
    """
    name = os.fspath(path)
    if name != "-":
        if not Path(path).exists():
            raise ClipError(f"{path} does not exist; check the name.")
        if Path(path).is_dir():
            raise ClipError(f"{path} is a folder; give one video file.")
    try:
        container = av.open(
            "pipe:0" if name == "-" else f"file:{name}", options={"protocol_whitelist": "file,pipe"}
        )
    except (OSError, ValueError, av.FFmpegError) as error:
        raise ClipError(
            f"{path} is no video that ffmpeg can read, or it is cut short; give another file."
        ) from error
    with container:
        stream = _moving_track(container, path)
        stream.thread_type = "AUTO"
        yield Track(container, stream, name)


def _moving_track(container: Any, path: str | os.PathLike) -> Any:
    """The track that a player shows."""
    tracks = container.streams.video
    if not tracks:
        raise ClipError(f"{path} has no picture track, only sound or data; give a video.")
    tracks = [t for t in tracks if not any(_has(t, flag) for flag in _NO_PICTURE_TRACK)]
    tracks = [t for t in tracks if t.codec_context is not None]
    if not tracks:
        raise ClipError(f"{path} has only a cover picture and no moving one; give a video.")

    def order(track: Any) -> tuple:
        return _moves(track), _has(track, "default"), track.width * track.height, -track.index

    return max(tracks, key=order)


def _has(track: Any, flag: str) -> bool:
    flags = getattr(type(track.disposition), flag, None)
    return flags is not None and bool(track.disposition & flags)


def _moves(track: Any) -> bool:
    """Whether a track has, as far as is told, more than one frame."""
    if track.frames:
        return track.frames > 1
    # Of Matroska the tag is the track's own; the other duration may be that of the whole file.
    seconds = _tagged_seconds(track.metadata.get("DURATION"))
    if not seconds and track.duration and track.time_base:
        seconds = float(track.duration * track.time_base)
    rate = track.average_rate or track.guessed_rate
    return not (seconds and rate and seconds * rate < 1.5)


def _tagged_seconds(text: str | None) -> float | None:
    """Seconds of Matroska's "00:00:05.840000000"."""
    try:
        hours, minutes, seconds = (text or "").split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except ValueError:
        return None


def _stored(path: str | os.PathLike) -> list[Any]:
    """Returns the packets of the pictures of a file, read without decoding, at most 20,000."""
    with open_track(path) as track:
        packets = []
        try:
            for packet in itertools.islice(
                track.container.demux(track.stream), _LOOKED_AT_IN_FILES
            ):
                packets.append(packet)
        except (av.FFmpegError, OSError):
            pass  # decoding it will tell where it is damaged
        return _pictures(packets, track.stream)


def _pictures(packets: list[Any], stream: Any) -> list[Any]:
    return [p for p in packets if p.size and p.stream is stream and not p.is_discard]


def _times(pictures: list[Any]) -> list[float]:
    """The seconds at which packets are shown, rising; [] where that is not told."""
    if any(p.pts is None for p in pictures):
        return []
    times = sorted(float(p.pts * p.time_base) for p in pictures)
    return times if len(pictures) < _LOOKED_AT_IN_FILES else times[:-_REORDERED]


class Decoding:
    """The frames of a track in the order they are shown.

    Attributes:
        times: Seconds at which frames are shown, rising, as far as is known before decoding: the
            first 20,000 of a file; [] where none are told.
        cut: What to say of a file that is known before decoding to break off, else None.
        tick: Seconds to which they are rounded.
        count: Frames decoded so far.
        interlaced: Whether fields were woven into frames so far, and taken apart here.
        unflagged: Whether the container says so of a codec that marks such frames itself.
    """

    def __init__(self, track: Track, sound: ClipSound | None = None) -> None:
        """Looks at the times; of pipes a hundred packets are read and held for it.

        `sound` takes what passes by of its track.
        """
        self._track, self._sound = track, sound
        self._codec = _alpha_decoder(track.stream) or track.stream.codec_context
        self._fields, self.unflagged = field_order(track.stream.codec_context)
        self._colours = _container_colours(track.stream.codec_context)
        self._packets = self._demuxed()
        self._end = self._shown_until = 0.0
        self._torn = False  # whether the last frame so far lacks a part
        self.interlaced = False
        self.count = 0
        self.tick = float(track.stream.time_base or 0)
        self.cut: str | None = None
        if Path(track.path).is_file():
            pictures = _stored(track.path)
            self.times = _times(pictures)
            if len(pictures) < _LOOKED_AT_IN_FILES:
                self.cut = self._cut_before_decoding(pictures)
            return
        head = list(itertools.islice(self._packets, _LOOKED_AT_IN_PIPES))
        self.times = _times(_pictures(head, track.stream))
        if len(head) == _LOOKED_AT_IN_PIPES:
            self.times = self.times[:-_REORDERED]
        self._packets = itertools.chain(head, self._packets)

    def _demuxed(self) -> Iterator[Any]:
        for packet in self._track.container.demux():
            if packet.size and packet.pts is not None:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                self._end = max(self._end, end)
            yield packet

    def __iter__(self) -> Iterator[tuple[float | None, float, Any]]:
        """Yields (seconds or None, duration or 0, `av.VideoFrame`); ClipError: damaged, cut."""
        graph: Deinterlacer | None = None
        try:
            for packet in self._packets:
                if packet.stream is not self._track.stream:
                    self._hear(packet)
                    continue
                for frame in self._decoded(packet):
                    self.count += 1
                    if self._sound is not None:
                        self._sound.begin(_timed(frame)[0] or 0.0)
                    if graph is None and (frame.interlaced_frame or self._fields):
                        graph, self.interlaced = Deinterlacer(frame, self._fields), True
                    for made in graph.push(frame) if graph else (frame,):
                        yield _timed(made)
            for made in graph.flush() if graph else ():
                yield _timed(made)
        except (av.FFmpegError, OSError) as error:
            raise ClipError(
                f"{self._track.path} is damaged or cut short after frame {self.count}; "
                f"copy it again, or code its first part with --frames {max(self.count, 1)}."
            ) from error
        self._check_end()

    def _decoded(self, packet: Any) -> Iterator[Any]:
        """The frames that come out after a packet, with the times at which they are shown."""
        base = self._track.stream.time_base
        # AVI has no times of showing: what is told there is the order of decoding.
        in_order = "avi" in self._track.container.format.name
        for frame in self._codec.decode(packet if packet.size else None):
            if frame.time_base is None:
                frame.time_base = base
            self._torn = frame.is_corrupt
            for name, value in self._colours.items():
                if getattr(frame, name) == _UNSPECIFIED:
                    setattr(frame, name, value)
            if in_order and self.count < len(self.times) and base:
                frame.pts, frame.duration = round(self.times[self.count] / base), 0
            time, duration, _ = _timed(frame)
            if time is not None:
                self._shown_until = max(self._shown_until, time + duration)
            yield frame

    def _hear(self, packet: Any) -> None:
        if self._sound is not None and packet.stream is self._sound.stream and packet.size:
            self._sound.push(packet)

    def hear_until(self, seconds: float) -> None:
        """Reads on, where only a part of the pictures was wanted, for the sound of that part."""
        if self._sound is None:
            return
        try:
            for packet in self._packets:
                self._hear(packet)
                if self._sound.reached(seconds):
                    return
        except (av.FFmpegError, OSError):
            return  # damage behind what was wanted

    def _cut_before_decoding(self, pictures: list[Any]) -> str | None:
        """What `_cut` says of the packets of all pictures that are in the file."""
        lacking = missing_bytes(self._track.path)
        whole = [p for p in pictures if not p.is_corrupt]
        if self._track.container.format.name == "apng":  # a part of a picture is not marked there
            whole = whole[:-1]
        if not lacking or not whole or not self.times:
            return None
        end = self.times[-1] + 1 / float(self._track.declared_rate or 25)
        return self._cut(len(whole), end, end, lacking)

    def _check_end(self) -> None:
        """Raises where the file ends clearly before it should."""
        lacking = 0 if self._track.path == "-" else missing_bytes(self._track.path)
        said = self._cut(self.count, self._end, self._shown_until or self._end, lacking, self._torn)
        if said:
            raise ClipError(said)

    def _cut(
        self, count: int, read: float, shown: float, lacking: int, torn: bool = False
    ) -> str | None:
        """What to say of a file that ends clearly before it should, None of others.

        Args:
            count: Frames that are there.
            read: Seconds at which what is there ends, of all tracks.
            shown: Seconds at which its pictures end.
            lacking: Bytes that are missing, see `missing_bytes`.
            torn: Whether the last frame lacks a part.
        """
        track = self._track
        end, rate = track.end, float(track.declared_rate or 25)
        if end is None and torn:
            cut, of = True, ", whose end is missing"
        elif end is None:
            counted = track.stream.frames and track.container.format.name != "gif"
            cut = lacking > 0 and not (counted and count >= track.stream.frames)
            of = f" ({lacking} bytes are missing, at least)"
        else:
            # Writers round durations or leave the last frame's out; a cut file has no excuse.
            slack = min(0.5, 0.05 * end) if end < 10 else 0.05 * end
            if lacking:
                cut = end - min(read, shown) > 0.5 / rate
            else:
                cut = end - read > max(3 / rate, slack)
            of = f" of {end:.2f} s"
        if not cut:
            return None
        at = f", {read:.2f} s" if read else ""
        return (
            f"{track.path} breaks off after frame {count}{at}{of}; "
            f"copy it again, or code its first part with --frames {max(count, 1)}."
        )


def _container_colours(codec: Any) -> dict[str, int]:
    """The colours that the container names; the decoder of HEVC forgets them."""
    names = ("color_primaries", "color_trc", "colorspace")
    told = {name: getattr(codec, name) for name in names}
    return {name: value for name, value in told.items() if value and value != _UNSPECIFIED}


def _alpha_decoder(stream: Any) -> Any:
    """What decodes the transparency of VP8 and VP9, which ffmpeg's own decoders leave out."""
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.name)
    if stream.metadata.get("alpha_mode") != "1" or name not in av.codecs_available:
        return None
    return av.CodecContext.create(name, "r")


def _timed(frame: Any) -> tuple[float | None, float, Any]:
    base = frame.time_base
    time = None if frame.pts is None or base is None else float(frame.pts * base)
    return time, float((frame.duration or 0) * (base or 0)), frame
