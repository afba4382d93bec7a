"""The header of a stream, and the variable-length integers that everything outside payloads uses.

Imports no jax.
"""

import dataclasses
import zlib
from collections.abc import Callable
from fractions import Fraction

from hvc_jax.stream.errors import BitstreamError

MAGIC = b"HVC\x1a"
VERSION = 4
"""Streams without FIELD units are still written as version 3, which every reader knows."""
_VERSIONS = (3, VERSION)

VARIANTS = ("semantic", "keypoint", "hybrid", "field", "implicit")
WITH_FIELD = ("hybrid", "field")
"""Variants whose frames are described by FIELD units."""
FITS = ("none", "crop", "pad")
NO_MODEL = bytes(8)
"""Model id of a stream coded with `default_tables` of the schema it names."""

MAX_SIDE = 1 << 15
MAX_PIXELS = 1 << 26
MAX_FRAMES = (1 << 31) - 1
_MAX_RATE = 1 << 20
MAX_QUANTISER = 1 << 16
_NAME_BYTES = 64


@dataclasses.dataclass(frozen=True)
class Header:
    """What holds for a whole stream."""

    variant: str  # one of `VARIANTS`
    width: int  # picture width in pixels, 1 to 32768; width * height <= 2**26
    height: int  # picture height in pixels
    fps: Fraction  # frame rate, > 0, numerator and denominator < 2**20
    # number of frames, or None when it was not known (a pipe): the INDEX unit says
    frame_count: int | None = None
    # 8 bytes, a hash of the exported model; zeros for the default tables
    model_id: bytes = NO_MODEL
    schema: str = ""  # name of the schema; "" for the one stored with the model
    quantiser: int = 64  # all steps are those of the schema times quantiser / 64; 1 to 65536
    fit: str = "none"  # how the source was fitted to the picture: "none", "crop" or "pad"
    source_width: int = 0  # width of the source in pixels, 0 when unknown or equal
    source_height: int = 0  # height of the source in pixels

    def __post_init__(self) -> None:
        object.__setattr__(self, "fps", Fraction(self.fps))
        sides = (self.width, self.height)
        if not all(1 <= n <= MAX_SIDE for n in sides) or sides[0] * sides[1] > MAX_PIXELS:
            raise ValueError(f"a picture of {sides[0]}x{sides[1]} pixels is not allowed")
        if not (0 < self.fps and self.fps.numerator < _MAX_RATE > self.fps.denominator):
            raise ValueError(f"a frame rate of {self.fps} is not allowed")
        if self.frame_count is not None and not 0 <= self.frame_count < MAX_FRAMES:
            raise ValueError(f"a frame count of {self.frame_count} is not allowed")
        if len(self.model_id) != 8:
            raise ValueError("a model id has 8 bytes")
        if self.variant not in VARIANTS or self.fit not in FITS:
            raise ValueError(f"unknown variant {self.variant!r} or fit {self.fit!r}")
        if not 1 <= self.quantiser <= MAX_QUANTISER:
            raise ValueError(
                f"a quantiser of {self.quantiser} is not allowed; 64 leaves steps alone"
            )
        if len(self.schema.encode()) > _NAME_BYTES:
            raise ValueError(f"a schema name has at most {_NAME_BYTES} bytes")
        if not all(0 <= n <= MAX_FRAMES for n in (self.source_width, self.source_height)):
            raise ValueError("the size of the source is not allowed")

    @property
    def version(self) -> int:
        """Format version in which the stream is written: 4 where it has FIELD units, else 3."""
        return VERSION if self.variant in WITH_FIELD else 3

    def to_bytes(self) -> bytes:
        """Returns the header as it stands at the beginning of a stream."""
        name = self.schema.encode()
        count = MAX_FRAMES if self.frame_count is None else self.frame_count
        body = b"".join(
            (
                MAGIC,
                bytes([self.version, VARIANTS.index(self.variant)]),
                self.model_id,
                count.to_bytes(4, "little"),
                *(
                    varint(n)
                    for n in (self.width, self.height, self.fps.numerator, self.fps.denominator)
                ),
                varint(self.quantiser),
                varint(len(name)),
                name,
                bytes([FITS.index(self.fit)]),
                varint(self.source_width) + varint(self.source_height)
                if self.fit != "none"
                else b"",
            )
        )
        return body + zlib.crc32(body).to_bytes(4, "little")


def read_header(read: Callable[[int], bytes]) -> tuple[Header, int]:
    """Returns the header, its length in bytes; `read(n)` gives n bytes; BitstreamError: none."""
    source = _Recorder(read)
    if source.peek(4) != MAGIC:
        raise BitstreamError("this is not an hvc stream (it does not start with 'HVC')", 0)
    version = source.take(1)[0]
    if version not in _VERSIONS:
        raise BitstreamError(f"format version {version}; this program reads 3 and {VERSION}", 4)
    variant = source.take(1)[0]
    model_id = source.take(8)
    count = int.from_bytes(source.take(4), "little")
    width, height, numerator, denominator, quantiser, length = (source.varint() for _ in range(6))
    if length > _NAME_BYTES:
        raise BitstreamError(f"a schema name of {length} bytes is not allowed", source.offset)
    name = source.take(length)
    fit = source.take(1)[0]
    source_size = (source.varint(), source.varint()) if fit else (0, 0)
    checksum = zlib.crc32(bytes(source.data))
    if int.from_bytes(source.take(4), "little") != checksum:
        raise BitstreamError("the header's checksum does not match", source.offset)
    if variant >= len(VARIANTS) or fit >= len(FITS) or denominator == 0:
        raise BitstreamError("the header holds an unknown variant or fit", source.offset)
    try:
        header = Header(
            variant=VARIANTS[variant],
            width=width,
            height=height,
            fps=Fraction(numerator, denominator),
            frame_count=None if count == MAX_FRAMES else count,
            model_id=model_id,
            schema=name.decode(),
            quantiser=quantiser,
            fit=FITS[fit],
            source_width=source_size[0],
            source_height=source_size[1],
        )
    except ValueError as error:
        raise BitstreamError(str(error), source.offset) from error
    return header, len(source.data)


def varint(value: int) -> bytes:
    """Returns `value` >= 0 as little-endian groups of seven bits (LEB128), at most 5 bytes."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(next_byte: Callable[[], int]) -> int:
    """Returns the number written by `varint`; BitstreamError: above 2**32 - 1, or too long."""
    value = 0
    for shift in range(0, 35, 7):
        byte = next_byte()
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 1 << 32 or (byte == 0 and shift):
                break
            return value
    raise BitstreamError("a number is malformed")


class Payload:
    """Bytes of a unit, taken from the beginning, `at` so far; errors say where the unit is."""

    def __init__(self, data: bytes, name: str, offset: int | None = None) -> None:
        """Goes to the beginning of `data`, which is that of `name`, "an audio unit"."""
        self._data, self._name, self._offset, self.at = data, name, offset, 0

    def error(self, reason: str) -> BitstreamError:
        """What is raised where the content is wrong."""
        return BitstreamError(reason, self._offset)

    @property
    def left(self) -> int:
        """Bytes that were not taken."""
        return len(self._data) - self.at

    def take(self, count: int) -> bytes:
        """The next bytes; raises BitstreamError where there are fewer."""
        if count > self.left:
            raise self.error(f"{self._name} is cut short")
        self.at += count
        return self._data[self.at - count : self.at]

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self.left)

    def byte(self) -> int:
        """The next byte; raises BitstreamError where there is none."""
        return self.take(1)[0]

    def varint(self) -> int:
        """The next number of variable length; raises BitstreamError as `read_varint`."""
        try:
            return read_varint(self.byte)
        except BitstreamError as error:
            raise self.error(error.reason) from error


class _Recorder:
    """Reads exactly, remembers what was read, and says where it stopped."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self.data = bytearray()

    @property
    def offset(self) -> int:
        return len(self.data)

    def peek(self, count: int) -> bytes:
        """Takes up to `count` bytes, without complaint when there are fewer."""
        data = self._read(count)
        self.data += data
        return data

    def take(self, count: int) -> bytes:
        data = self._read(count) if count else b""
        self.data += data
        if len(data) < count:
            raise BitstreamError("the stream ends inside its header", self.offset)
        return data

    def varint(self) -> int:
        try:
            return read_varint(lambda: self.take(1)[0])
        except BitstreamError as error:
            raise BitstreamError(error.reason, self.offset) from error
