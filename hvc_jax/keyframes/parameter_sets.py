"""The VVC parameter sets (SPS, PPS) of our key pictures, built for any size instead of sent.

What libvvenc writes for an intra picture depends on the preset and, in two Exp-Golomb fields of
each set, on the width and height. So one recorded example of each set, with those two fields
rewritten, serves every size (H.266 7.3.2.4: sps_pic_width_max_in_luma_samples and
sps_pic_height_max_in_luma_samples; 7.3.2.5: pps_pic_width_in_luma_samples and its height).

The encoder compares its sets with the built ones byte by byte and sends its own where they
differ (another version of libvvenc, say): a stream never depends on the guess.
"""

import re

SPS, PPS = 15, 16
"""NAL unit types (H.266 table 5)."""

_RECORDED_SIDE = 64
"""The recorded examples are of a 64x64 picture at level 5.1 and 25 frames/s."""

_RECORDED = (
    (  # libvvenc "medium"
        "0079000d0253800080820411a80fa6dd32348a4de709b2b182041382affd2ecbfce4800000008000000c9880",
        "00810000410208987ee080",
    ),
    (  # libvvenc "fast"
        "0079000b0253800080820411a80fd109a293de709b2b182041382afbd2ec567240000000400000064c40",
        "00810000410208987ee080",
    ),
)
_SIZE_POSITION = (66, 27)
"""Bit position of the width in the SPS and in the PPS; the height follows at once."""


def build(preset: int, width: int, height: int) -> list[bytes]:
    """Returns the SPS and PPS NAL units of a picture of width x height (multiples of 8).

    Args:
        preset: index of the recorded example: 0 is medium, 1 is fast.
        width: in pixels.
        height: in pixels.

    Raises:
        ValueError: there is no such example.
    """
    if not 0 <= preset < len(_RECORDED):
        raise ValueError(f"VVC parameter sets number {preset} are unknown to this version.")
    old = _exp_golomb(_RECORDED_SIDE) * 2
    units = []
    for recorded, position in zip(_RECORDED[preset], _SIZE_POSITION, strict=True):
        raw = bytes.fromhex(recorded)
        bits = f"{int.from_bytes(raw):0{8 * len(raw)}b}".rstrip("0")  # ends with the stop bit
        bits = (
            bits[:position] + _exp_golomb(width) + _exp_golomb(height) + bits[position + len(old) :]
        )
        bits += "0" * (-len(bits) % 8)
        units.append(_escape(int(bits, 2).to_bytes(len(bits) // 8)))
    return units


def find(units: list[bytes], width: int, height: int) -> int | None:
    """Returns which recorded example equals these SPS and PPS units, or None."""
    for preset in range(len(_RECORDED)):
        if build(preset, width, height) == units:
            return preset
    return None


def _exp_golomb(value: int) -> str:
    """Returns ue(v) of a value as a string of bits (H.266 9.2)."""
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits


def _escape(raw: bytes) -> bytes:
    """Returns a NAL unit with emulation prevention bytes (H.266 7.4.2.1)."""
    return re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", raw)
