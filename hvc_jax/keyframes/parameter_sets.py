"""The VVC parameter sets (SPS, PPS) of our key pictures, built for any size instead of sent.

What libvvenc writes for an intra picture depends on the preset and, in two Exp-Golomb fields of
each set, on the width and height. So one recorded example of each set, with those two fields
rewritten, serves every size (H.266 7.3.2.4: sps_pic_width_max_in_luma_samples and
sps_pic_height_max_in_luma_samples; 7.3.2.5: pps_pic_width_in_luma_samples and its height).

The encoder compares its sets with the built ones byte by byte and sends its own where they
differ (another version of libvvenc, say): a stream never depends on the guess.
"""

import itertools
import re
from typing import NamedTuple

SPS, PPS = 15, 16
"""NAL unit types (H.266 table 5)."""

# All are of a 64x64 picture at level 5.1 and 25 frames/s, without emulation prevention.
_INTRA_PPS = "00810000410208987ee080"
_INTRA_SPS = (
    # libvvenc "medium", "fast"
    "0079000d0253800080820411a80fa6dd32348a4de709b2b182041382affd2ecbfce4800000008000000c9880",
    "0079000b0253800080820411a80fd109a293de709b2b182041382afbd2ec567240000000400000064c40",
)

# The sets of sequences hold the reference lists of `gop` and follow libvvenc's preset: "fast",
# "medium", "slow". The PPS says how QPs may change inside a picture: by the importance of blocks,
# by local activity as well, or (fixed) not at all.
_LOW_DELAY_PPS = "008100004102088d87ec08", "008100004102088d87ee08"
_LOW_DELAY_FIXED_PPS = "008100004102088d85ec08"
_LOW_DELAY_SPS = (
    "0079000b0253800080820411a8027d109a293de709b2b182041382727e4fc9f93f5bf7de9762b3920000"
    "00020000003262",
    "0079000d0253800080820411a8027a6dd32348a4de709b2b182041382727e4fc9f93f5bf7fe9765fe724"
    "0000000400000064c4",
    "0079000d0253800080820411a8027a23744234ca4c99c26cac608104e09c9f93f27e4fd6fdfff77c9f9c"
    "90000000100000019310",
)
_REORDERED_PPS = "008100004102088907ec08", "008100004102088907ee08"
_REORDERED_FIXED_PPS = "008100004102088905ec08"
_REORDERED_SPS = (
    # by four, by two
    "0079004b025380000080820411a8015fa2134527bce13656304082700cc925a90f427e8933249684b91c"
    "a897de9762b392000000020000003231",
    "0079004d025380000080820411a8015f4dba6469149bce13656304082700cc925a90f427e8933249684b"
    "91ca897fe9765fe724000000040000006462",
    "0079004d025380000080820411a8015f446e8846994993384d958c10209c0332496a43d09fa24cc925a1"
    "2e472a25fff77c9f9c90000000100000019188",
    "0079002b025380000080820411a8035e884d149ef384d958c10209c023557a25235572a57de9762b3920"
    "000000200000032310",
    "0079002d025380000080820411a8035d36e991a4526f384d958c10209c023557a25235572a57fe9765fe"
    "7240000000400000064620",
    "0079002d025380000080820411a8035d11ba211a65264ce136563040827008d55e8948d55ca95fff77c9"
    "f9c900000001000000191880",
)

_RECORDED = (
    *((sps, _INTRA_PPS) for sps in _INTRA_SPS),
    *itertools.product(_LOW_DELAY_SPS, _LOW_DELAY_PPS),
    *itertools.product(_REORDERED_SPS, _REORDERED_PPS),
    *((sps, _LOW_DELAY_FIXED_PPS) for sps in _LOW_DELAY_SPS),
    *((sps, _REORDERED_FIXED_PPS) for sps in _REORDERED_SPS),
)  # numbers are in streams: add at the end only

_PPS_SIZE_POSITION = 27
"""Bit position of the width in the PPS; the height follows at once."""


class _Positions(NamedTuple):
    """Bit positions in an SPS: of the width, and the range of the last layer's DPB parameters."""

    size: int
    dpb: tuple[int, int]
    dec_pic_buffering_minus1: int


def build(number: int, width: int, height: int) -> list[bytes]:
    """Returns the SPS and PPS NAL units of a picture of width x height pixels (multiples of 8).

    `number`: index of the recorded example, as `find` gives it. Raises ValueError: there is no
    such.
    """
    if not 0 <= number < len(_RECORDED):
        raise ValueError(f"VVC parameter sets number {number} are unknown to this version.")
    sps, pps = (bytes.fromhex(recorded) for recorded in _RECORDED[number])
    old, new = (_exp_golomb(w) + _exp_golomb(h) for w, h in ((64, 64), (width, height)))
    units = []
    for raw, position in ((sps, _locate(_bits(sps)).size), (pps, _PPS_SIZE_POSITION)):
        bits = _bits(raw)
        units.append(_unit(bits[:position] + new + bits[position + len(old) :]))
    return units


def find(units: list[bytes], width: int, height: int) -> int | None:
    """Returns which recorded example equals these SPS and PPS units, or None."""
    for number in range(len(_RECORDED)):
        if build(number, width, height) == units:
            return number
    return None


def without_reordering(sps: bytes) -> bytes:
    """Returns an SPS NAL unit whose pictures are shown in coded order, as soon as decoded.

    It sets dpb_max_num_reorder_pics and dpb_max_latency_increase_plus1 to 0 (H.266 7.3.4), which
    govern output and nothing else.
    Raises ValueError: the SPS has fields that libvvenc writes for none of our pictures.
    """
    bits = _bits(re.sub(rb"\x00\x00\x03", b"\x00\x00", sps))
    try:
        positions = _locate(bits)
    except (IndexError, ValueError) as error:
        raise ValueError("the SPS is not one of ours") from error
    start, end = positions.dpb
    new = _exp_golomb(positions.dec_pic_buffering_minus1) + _exp_golomb(0) * 2
    return _unit(bits[:start] + new + bits[end:])


def _locate(bits: str) -> _Positions:
    """Returns where an SPS has its size and DPB parameters (H.266 7.3.2.4).

    Raises:
        ValueError: the SPS has fields that libvvenc writes for none of our pictures.
        IndexError: it is cut short.
    """
    position = 24  # NAL unit header, SPS id, VPS id
    sublayers_minus1 = int(bits[position : position + 3], 2)
    position = 32  # chroma format, CTU size, and that profile, tier, level, DPB and HRD follow
    if bits[31] != "1" or bits[50] != "0":
        raise ValueError("no profile, or general constraints")
    position = 56  # profile, tier, level, frame-only and multilayer flags, no constraints
    if sublayers_minus1:  # a flag a layer, then alignment
        if "1" in bits[position : position + sublayers_minus1]:
            raise ValueError("a level for each temporal layer")
        position += 8
    position += 8 + 32 * int(bits[position : position + 8], 2)  # sub-profiles
    if bits[position + 1] != "0":
        raise ValueError("resampled reference pictures")
    size = position = position + 2  # gradual refresh, resampling
    for _ in range(2):
        _, position = _read_exp_golomb(bits, position)
    if bits[position : position + 2] != "00":
        raise ValueError("cropping or subpictures")
    _, position = _read_exp_golomb(bits, position + 2)  # bit depth
    position += 2 + 4  # entropy coding synchronisation, entry points, bits of the POC
    if bits[position] != "0":
        raise ValueError("POC cycles")
    position += 1 + 2 + 2  # extra bits in headers
    if sublayers_minus1:
        if bits[position] != "0":
            raise ValueError("DPB parameters for each temporal layer")
        position += 1
    start = position
    buffering, position = _read_exp_golomb(bits, position)
    for _ in range(2):
        _, position = _read_exp_golomb(bits, position)
    return _Positions(size, (start, position), buffering)


def _bits(raw: bytes) -> str:
    """Returns bytes as a string of bits that ends with the stop bit."""
    return f"{int.from_bytes(raw):0{8 * len(raw)}b}".rstrip("0")


def _unit(bits: str) -> bytes:
    """Returns the NAL unit of a string of bits, with emulation prevention (H.266 7.4.2.1)."""
    bits += "0" * (-len(bits) % 8)
    raw = int(bits, 2).to_bytes(len(bits) // 8)
    return re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", raw)


def _exp_golomb(value: int) -> str:
    """Returns ue(v) of a value as a string of bits (H.266 9.2)."""
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits


def _read_exp_golomb(bits: str, position: int) -> tuple[int, int]:
    """Returns a ue(v) value and the position after it."""
    one = bits.index("1", position)
    end = 2 * one - position + 1
    return int(bits[one:end], 2) - 1, end
