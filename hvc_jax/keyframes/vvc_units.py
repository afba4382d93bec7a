"""NAL units of a VVC picture <-> payload: only what is special to the picture is sent.

A payload begins with a byte of layout:

    0x00..0x1F  intra picture: number of its parameter sets (0, 1) << 4 | count of APS
    0x20..0x2F  intra picture: count of APS, then a byte with the number of its parameter sets
    0x80..0xDF  predicted picture: 0x80 + 8 * index in `_PREDICTED` + count of APS
    0xFF        every NAL unit as libvvenc wrote it, with start codes

then the adaptation parameter sets (a byte of length and the bytes after the NAL unit header
each) and the slice without its NAL unit header. Parameter sets are in no payload whose intra
picture has them from `parameter_sets`; predicted pictures use those of the intra picture before.
"""

import re

from hvc_jax.keyframes import parameter_sets
from hvc_jax.keyframes.picture import KeyPictureError

_RAW, _NUMBERED, _FIRST_PREDICTED = 0xFF, 0x20, 0x80

_PREFIX_APS, _IDR = 17, b"\x00\x41"
"""NAL unit type of a prefix APS (H.266 7.3.1.2), and the header of the IDR slice that all intra
pictures are."""

_PREDICTED = tuple(bytes([0, kind << 3 | layer + 1]) for kind in (0, 1) for layer in range(6))
"""NAL unit headers of predicted slices: TRAIL and STSA in temporal layers 0 to 5."""

_START = re.compile(rb"\x00\x00\x01")
_MAX_APS, _MAX_PREDICTED_APS = 15, 7
_SLICES, _INTRA = range(12), (7, 8, 9)
"""NAL unit types of slices (H.266 table 5): all, and those of IDR and CRA pictures."""


def access_units(stream: bytes) -> list[list[bytes]]:
    """Returns the NAL units of each coded picture, in coded order.

    Every intra picture has its SPS and PPS in front, also where the stream sends them once.
    Raises KeyPictureError: units are missing or empty.
    """
    starts = [match.end() for match in _START.finditer(stream)]
    ends = [start - 3 for start in starts[1:]] + [len(stream)] * bool(starts)
    pictures: list[list[bytes]] = []
    sets: dict[int, bytes] = {}
    own: list[bytes] = []
    for start, end in zip(starts, ends, strict=True):
        unit = stream[start:end].rstrip(b"\x00")  # the next start code may lead with a zero
        if len(unit) < 3:
            raise KeyPictureError("The VVC key picture is damaged: a unit is empty.")
        kind = _type(unit)
        if kind in (parameter_sets.SPS, parameter_sets.PPS):
            sets[kind] = unit
            continue
        own.append(unit)
        if kind in _SLICES:  # ours is the picture's only one
            if is_intra(own):
                if len(sets) != 2:
                    raise KeyPictureError("The VVC key picture is damaged: units are missing.")
                own = [sets[parameter_sets.SPS], sets[parameter_sets.PPS], *own]
            pictures.append(own)
            own = []
    return pictures


def is_intra(units: list[bytes]) -> bool:
    """Returns whether these units are a picture that decoding may start at."""
    return _type(units[-1]) in _INTRA


def pack(units: list[bytes], width: int, height: int) -> bytes:
    """Returns the payload of a picture's NAL units, as `access_units` gives them."""
    raw = bytes([_RAW]) + b"".join(b"\x00\x00\x01" + unit for unit in units)
    intra = is_intra(units)
    *aps, picture = units[2:] if intra else units
    if not all(unit[:2] == _aps(picture) and len(unit) < 258 for unit in aps):
        return raw
    if intra:
        number = parameter_sets.find(units[:2], width, height)
        if number is None or len(aps) > _MAX_APS or picture[:2] != _IDR:
            return raw
        layout = [number << 4 | len(aps)] if number < 2 else [_NUMBERED | len(aps), number]
    else:
        if len(aps) > _MAX_PREDICTED_APS or picture[:2] not in _PREDICTED:
            return raw
        layout = [_FIRST_PREDICTED + 8 * _PREDICTED.index(picture[:2]) + len(aps)]
    sent = b"".join(bytes([len(unit) - 2]) + unit[2:] for unit in aps)
    return bytes(layout) + sent + picture[2:]


def unpack(payload: bytes, width: int, height: int) -> list[bytes]:
    """Returns the NAL units of a payload, SPS and PPS in front where it is an intra picture.

    Raises:
        KeyPictureError: the payload is cut short or none of ours.
        ValueError: its parameter sets are unknown to this version.
    """
    if len(payload) < 2:
        raise KeyPictureError("The VVC key picture is empty.")
    layout, position = payload[0], 1
    if layout == _RAW:
        pictures = access_units(payload[1:])
        if len(pictures) != 1 or not _known(pictures[0]):
            raise KeyPictureError("The VVC key picture is damaged: units are missing.")
        return pictures[0]
    if layout < _FIRST_PREDICTED:
        number, count, header = layout >> 4, layout & 15, _IDR
        if layout & ~15 == _NUMBERED:
            number, position = payload[1], 2
        elif number > 1:
            raise KeyPictureError(f"The VVC key picture has the unknown layout {layout}.")
        units = parameter_sets.build(number, width, height)
    else:
        index, count = divmod(layout - _FIRST_PREDICTED, 8)
        if index >= len(_PREDICTED):
            raise KeyPictureError(f"The VVC key picture has the unknown layout {layout}.")
        header, units = _PREDICTED[index], []
    for _ in range(count):
        end = position + 1 + payload[position] if position < len(payload) else len(payload)
        if end >= len(payload):
            raise KeyPictureError("The VVC key picture is cut short.")
        units.append(_aps(header) + payload[position + 1 : end])
        position = end
    if position >= len(payload):
        raise KeyPictureError("The VVC key picture is cut short.")
    return [*units, header + payload[position:]]


def annex_b(units: list[bytes]) -> bytes:
    """Returns NAL units with start codes."""
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in units)


def _known(units: list[bytes]) -> bool:
    """Returns whether a raw payload is an intra picture, or a predicted one without new sets."""
    own = units[2:] if is_intra(units) else units
    slice_types = _INTRA if is_intra(units) else range(4)
    return _type(own[-1]) in slice_types and all(_type(unit) == _PREFIX_APS for unit in own[:-1])


def _aps(picture: bytes) -> bytes:
    """Returns the NAL unit header of a prefix APS in the temporal layer of a slice."""
    return bytes([0, _PREFIX_APS << 3 | picture[1] & 7])


def _type(unit: bytes) -> int:
    """Returns the NAL unit type."""
    return unit[1] >> 3
