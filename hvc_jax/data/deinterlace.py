"""Frames into which two fields were woven, made whole by ffmpeg's bwdif."""

from collections.abc import Iterator
from typing import Any

import av
import av.filter

_MARKS_FRAMES = "h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "vc1", "prores", "dvvideo"
"""Codecs that say of every frame whether it is interlaced."""
_TOP_FIRST, _BOTTOM_FIRST = (2, 4), (3, 5)
"""Of libavcodec's AVFieldOrder, as its decoders of raw video take them."""


def field_order(codec: Any) -> tuple[str, bool]:
    """Returns the parity, "tff" or "bff", of a track all of whose frames are interlaced, else "".

    Of codecs that mark their frames the marks count; the second value is whether the container
    says that such a track is interlaced.
    """
    order = codec.field_order
    parity = "tff" if order in _TOP_FIRST else "bff" if order in _BOTTOM_FIRST else ""
    return ("", bool(parity)) if codec.name in _MARKS_FRAMES else (parity, False)


class Deinterlacer:
    """Makes a full frame of each that is interlaced."""

    def __init__(self, frame: Any, parity: str = "") -> None:
        """Prepares for frames like one; "tff", "bff": all are interlaced, "": those marked."""
        self._shape, self._parity = _shape_of(frame), parity
        self._graph = av.filter.Graph()
        source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
        )
        which = f"parity={parity}:deint=all" if parity else "parity=auto:deint=interlaced"
        weave = self._graph.add("bwdif", f"mode=send_frame:{which}")
        sink = self._graph.add("buffersink")
        source.link_to(weave)
        weave.link_to(sink)
        self._graph.configure()

    def push(self, frame: Any) -> Iterator[Any]:
        """Yields the frames that are ready after another one."""
        if _shape_of(frame) != self._shape:
            yield from self.flush()
            self.__init__(frame, self._parity)
        self._graph.push(frame)
        yield from self._pulled()

    def flush(self) -> Iterator[Any]:
        """Yields the rest."""
        self._graph.push(None)
        yield from self._pulled()

    def _pulled(self) -> Iterator[Any]:
        while True:
            try:
                yield self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return


def _shape_of(frame: Any) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name
