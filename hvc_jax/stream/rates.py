"""Bytes and rates of a stream, from the file itself. Imports no jax."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from hvc_jax.stream.container import StreamReader
from hvc_jax.stream.units import Unit, UnitType


def unit_name(type_: int) -> str:
    """Name of a unit type; unknown types keep their number."""
    try:
        return UnitType(type_).name
    except ValueError:
        return f"type {type_}"


def bytes_by_unit(reader: StreamReader, units: Iterable[Unit]) -> dict[str, int]:
    """Bytes by unit type, framing and checksums included; the sum is the size of the file."""
    sizes = {"HEADER": reader.header_size}
    for unit in units:
        name = unit_name(unit.type)
        sizes[name] = sizes.get(name, 0) + unit.size
    return sizes


def kbps(size: int, frames: int, fps: Fraction) -> float:
    """Kilobits (1000 bits) a second of `size` bytes that show `frames` frames; 0 for none."""
    return size * 8 * float(fps) / frames / 1000 if frames else 0.0


def rate_columns(size: int, shape: tuple[int, ...], fps: Fraction | float) -> dict[str, Any]:
    """What a table says of the size of a clip [T, H, W, 3]: all bytes, at the true frame rate."""
    count, height, width = shape[:3]
    return {
        "frames": count,
        "fps": float(fps),
        "width": width,
        "height": height,
        "bytes": size,
        "bpp": size * 8 / (count * height * width),
        "kbps": kbps(size, count, Fraction(fps)),
        "bits_per_frame": size * 8 / count,
    }
