"""FIELD units in the container: round trips, order, and bytes that nobody wrote."""

import io

import numpy as np
import pytest

from hvc_jax.stream.container import StreamReader, StreamWriter
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.field_unit import FieldGroup, Predicted, field_group, field_payload, grid_size
from hvc_jax.stream.header import Header
from hvc_jax.stream.units import Unit, UnitType

GROUP = FieldGroup(8, 9, (Predicted(16, b"abc"), Predicted(12, b"")), 1, 8, b"field")


def unit(payload: bytes, frame: int = 8) -> Unit:
    return Unit(UnitType.FIELD, frame, payload, 0, 0)


def header(variant: str = "field", count: int | None = 17) -> Header:
    return Header(variant, 64, 64, 25, count)


def written(groups: list[FieldGroup], variant: str = "field") -> bytes:
    out = io.BytesIO()
    writer = StreamWriter(out, header(variant))
    writer.write_key(0, 1, 30, b"key")
    for group in groups:
        writer.write_field(group)
    if sum(group.count for group in groups) == 17:
        writer.close()
    return out.getvalue()


def test_a_unit_comes_back() -> None:
    assert field_group(unit(field_payload(GROUP))) == GROUP


def test_a_stream_of_fields_is_whole_when_all_frames_are_there() -> None:
    first = FieldGroup(0, 8, (), 0, 8, b"")
    data = written([first, GROUP])
    assert data[4] == 4  # the version that brought them
    units = list(StreamReader(io.BytesIO(data)).units())
    assert [u.type for u in units[:3]] == [UnitType.KEY, UnitType.FIELD, UnitType.FIELD]
    with pytest.raises(BitstreamError, match="cut off: 8 of 17"):
        list(StreamReader(io.BytesIO(written([first]))).units())
    with pytest.raises(BitstreamError, match="frame 0 is missing"):
        list(StreamReader(io.BytesIO(written([GROUP]))).units())


def test_hybrid_fields_follow_their_parameters_and_other_variants_have_none() -> None:
    first = FieldGroup(0, 8, (), 0, 8, b"")
    with pytest.raises(BitstreamError, match="parameters of frame 0 are missing"):
        list(StreamReader(io.BytesIO(written([first], "hybrid"))).units())
    with pytest.raises(BitstreamError, match="no displacement fields"):
        list(StreamReader(io.BytesIO(written([first], "semantic"))).units())


def test_bytes_that_nobody_wrote_are_refused_or_read() -> None:
    rng, good = np.random.default_rng(0), field_payload(GROUP)
    for length in range(len(good) - len(GROUP.payload)):
        with pytest.raises(BitstreamError):
            field_group(unit(good[:length]))
    for _ in range(2000):
        data = bytearray(good)
        data[rng.integers(len(data))] = rng.integers(256)
        try:
            group = field_group(unit(bytes(data)))
        except BitstreamError:
            continue
        assert all(p.frame >= 8 for p in group.pictures) and group.count <= 256


def test_control_points_follow_the_shape_of_the_picture() -> None:
    assert grid_size(0, 256, 256) == (8, 8) and grid_size(1, 128, 256) == (16, 32)
    assert grid_size(0, 32, 2048) == (8, 32)
