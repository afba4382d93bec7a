"""The beginning of a clip: what its frames must be, and the header of its stream."""

import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np

from hvc_jax.codec.options import CodecError, EncodeOptions, Source, check_side
from hvc_jax.stream.header import Header


def begin(
    frames: Iterable[np.ndarray],
    *,
    variant: str,
    model_id: bytes,
    square: bool,
    fps: Fraction | float,
    options: EncodeOptions,
    source: Source,
    frame_count: int | None,
) -> tuple[Header, Iterator[np.ndarray]]:
    """The header of a clip's stream and the frames, checked as they come.

    Args:
      frames: [H, W, 3] uint8 RGB each.
      variant: Of the stream.
      model_id: 8 bytes.
      square: Whether only square pictures can be coded, as where bodies are sent.
      fps: Frames per second.
      options: The quantiser goes into the header.
      source: How the frames were made from the clip.
      frame_count: If known.

    Raises:
      CodecError: Fewer than two frames, or sizes that vary or do not fit the networks.
    """
    frames = iter(frames)
    head = list(itertools.islice(frames, 2))
    if len(head) < 2:
        raise CodecError("fewer than two frames to code; give a longer clip")
    shape = head[0].shape
    height, width = shape[:2]
    check_side("height", height), check_side("width", width)
    if square and height != width:
        raise CodecError(
            f"the {variant} variant codes square pictures, got {width}x{height}; crop or pad them"
        )

    def checked() -> Iterator[np.ndarray]:
        for frame in itertools.chain(head, frames):
            if frame.shape != shape:
                raise CodecError("the frames of the clip differ in size; scale them to one size")
            yield frame

    header = Header(
        variant=variant,
        width=width,
        height=height,
        fps=Fraction(fps).limit_denominator(1001),
        frame_count=frame_count,
        model_id=model_id,
        quantiser=options.quantiser,
        fit=source.fit,
        source_width=source.width,
        source_height=source.height,
    )
    return header, checked()
