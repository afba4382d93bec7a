"""Short units, which lean on what stands before them: 2 bytes around the payload.

    short unit   0x80 + length, payload, CRC-8

A short unit goes on where a MOTION unit, or a FIELD unit of one frame, ended, with as many frames,
so that its frame need not be told; its checksum goes on from all bytes since the last whole unit.
Without them it could not be decoded anyway, for the coder's state would be missing. In a hybrid,
where MOTION and FIELD take turns, it is of the kind that is behind the other. Imports no jax.
"""

import dataclasses
import zlib

from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.field_unit import FieldGroup, field_group, field_payload
from hvc_jax.stream.units import SHORT, Unit, UnitType, motion_group, motion_payload, unit_bytes
from hvc_jax.stream.vectors import Group

_MOST_SHORT = 0x7F


class Chain:
    """What a short unit leans on; writers and readers keep one beside the stream."""

    def __init__(self, variant: str) -> None:
        """Prepares a chain for a stream of a variant, before which nothing stands."""
        self._alternates = variant == "hybrid"
        self._last: dict[int, Group | FieldGroup] = {}  # what a short unit may go on from, by type
        self._checksum = 0

    def whole(self, unit: Unit, checksum: int) -> None:
        """Goes past a whole unit with this CRC-32."""
        before, self._last = self._last, {}
        self._checksum = checksum
        try:
            if unit.type == UnitType.MOTION:
                self._last = {UnitType.MOTION: motion_group(unit)}
            elif unit.type == UnitType.FIELD and field_group(unit).count == 1:
                motion = before.get(UnitType.MOTION)
                if motion is not None:
                    self._last = {UnitType.MOTION: motion}
                if motion is not None or not self._alternates:
                    self._last[UnitType.FIELD] = field_group(unit)
        except BitstreamError:
            self._last = {}  # nobody can use it, and so nothing can follow it

    def next(self) -> Group | FieldGroup | None:
        """What a short unit without coded frames would be here; None where none may stand."""
        if not self._last:
            return None
        # The first of those that end first; MOTION stands before FIELD.
        last = min(self._last.values(), key=lambda group: group.frame + group.count)
        frame = last.frame + last.count
        if isinstance(last, Group):
            return dataclasses.replace(last, frame=frame, resync=False, payload=b"")
        return dataclasses.replace(last, frame=frame, pictures=(), payload=b"")

    def short(self, payload: bytes) -> bytes:
        """The short unit with these coded frames, checksum included; goes past it."""
        data = bytes([SHORT + len(payload)]) + payload
        check = bytes([_crc8(data, self._checksum & 0xFF)])
        self._checksum = zlib.crc32(data + check, self._checksum)
        group = self.next()
        if group is not None:
            self._last[_type(group)] = group
        return data + check

    def parse(self, data: bytes, offset: int) -> Unit:
        """The short unit `data` as a whole one; BitstreamError: nothing before it, or damaged."""
        group = self.next()
        if group is None:
            raise BitstreamError("a short unit follows no motion", offset)
        if self.short(data[1:-1]) != data:
            self._last = {}
            raise BitstreamError("a unit's checksum does not match", offset)
        return _unit(dataclasses.replace(group, payload=data[1:-1]), offset, len(data))

    def write(self, type_: int, frame: int, payload: bytes, whole: bool = False) -> bytes:
        """A unit as it stands in a stream, short where possible and not asked to be whole."""
        unit, group = Unit(type_, frame, payload, 0, 0), self.next()
        if not whole and group is not None and type_ == _type(group):
            coded = (motion_group if type_ == UnitType.MOTION else field_group)(unit).payload
            alike = _unit(dataclasses.replace(group, payload=coded), 0, 0) == unit
            if alike and len(coded) <= _MOST_SHORT:
                return self.short(coded)
        data = unit_bytes(type_, frame, payload)
        self.whole(unit, int.from_bytes(data[-4:], "little"))
        return data


def _type(group: Group | FieldGroup) -> UnitType:
    return UnitType.MOTION if isinstance(group, Group) else UnitType.FIELD


def _unit(group: Group | FieldGroup, offset: int, size: int) -> Unit:
    """The unit of a group, as if it were a whole one."""
    payload = motion_payload(group) if isinstance(group, Group) else field_payload(group)
    return Unit(_type(group), group.frame, payload, offset, size)


def short_size(first: int) -> int:
    """Returns the bytes of the short unit with this first byte."""
    return (first & _MOST_SHORT) + 2


def _crc8_row(value: int) -> int:
    for _ in range(8):
        value = (value << 1) ^ (0x107 if value & 0x80 else 0)
    return value


_CRC8 = bytes(_crc8_row(value) for value in range(256))


def _crc8(data: bytes, value: int) -> int:
    """Returns the CRC-8 (x^8 + x^2 + x + 1, highest bit first) of `data`, starting at `value`."""
    for byte in data:
        value = _CRC8[value ^ byte]
    return value
