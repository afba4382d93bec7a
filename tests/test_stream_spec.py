"""Streams read by a decoder that was written from SPEC.md alone."""

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import spec_decoder
from field_cases import hybrid_stream
from stream_cases import waving

from hvc_jax.models.export import load_export
from hvc_jax.stream.container import StreamWriter
from hvc_jax.stream.header import Header, read_header
from hvc_jax.stream.motion import MotionCoder
from hvc_jax.stream.schema import builtin_schema
from hvc_jax.stream.tables import default_tables
from hvc_jax.stream.tables_fit import fit_tables
from hvc_jax.stream.tracks import read_tracks, stream_tables
from hvc_jax.stream.vectors import Group, VectorEncoder

GOLDEN = sorted((Path(__file__).parent / "golden").glob("[!f]*.hvc"))  # field.hvc has no vectors


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_files(path: Path) -> None:
    data = path.read_bytes()
    header, _ = read_header(io.BytesIO(data).read)
    ours = read_tracks(data, stream_tables(header)).vectors
    np.testing.assert_array_equal(np.array(spec_decoder.decode(data), np.float32), ours)


def test_schemas_and_tables() -> None:
    for name in ("token7", "token3", "upper31", "upper31+camera", "full_body", "full_body+camera"):
        schema = builtin_schema(name)
        size, dynamic, static = spec_decoder.builtin_schema(name)
        assert size == schema.size
        for theirs, ours in ((dynamic, schema.dynamic), (static, schema.static)):
            assert theirs == [(slot.name, slot.index, slot.step) for slot in ours]
        theirs = spec_decoder.builtin_tables(dynamic, len(dynamic + static))
        for field, ours in default_tables(schema).to_arrays().items():
            if field != "schema":
                np.testing.assert_array_equal(theirs[field], ours, err_msg=field)


def difficult(name: str, quantiser: int, group_frames: int) -> bytes:
    """A stream with frames that hold, jumps, far values and resyncs."""
    schema = builtin_schema(name)
    vectors = waving(schema, 26)
    rng = np.random.default_rng(quantiser)
    for slot in schema.dynamic:
        vectors[:, slot.index] += np.cumsum(rng.normal(size=26)) * slot.step
    vectors[9:12] = vectors[8]
    vectors[12, schema.dynamic[0].index] = 900.0  # far out, needs extra bits
    vectors[13, schema.dynamic[-1].index] = 1e9
    encoder = VectorEncoder(schema, default_tables(schema), quantiser, group_frames, 7)
    file = io.BytesIO()
    header = Header("semantic", 64, 64, Fraction(25), schema=name, quantiser=quantiser)
    with StreamWriter(file, header) as writer:
        static, _ = encoder.key(vectors[3])  # the first frame is not the key's
        writer.write_key(0, 1, 32, b"picture")
        writer.write_static(0, static)
        for group in [group for vector in vectors for group in encoder.push(vector)]:
            writer.write_motion(group)
        for group in encoder.flush():
            writer.write_motion(group)
    return file.getvalue()


@pytest.mark.parametrize("group_frames", [1, 3, 64])
@pytest.mark.parametrize(("name", "quantiser"), [("upper31", 64), ("token7", 40), ("token5", 200)])
def test_difficult_streams(name: str, quantiser: int, group_frames: int) -> None:
    data = difficult(name, quantiser, group_frames)
    ours = read_tracks(data, default_tables(builtin_schema(name))).vectors
    np.testing.assert_array_equal(np.array(spec_decoder.decode(data), np.float32), ours)


@pytest.mark.parametrize("name", ["upper31", "token5"])
def test_edits_of_a_hybrid(name: str) -> None:
    plain, edited = (hybrid_stream(name, edited=edited) for edited in (False, True))
    tables = default_tables(builtin_schema(name))
    for data in (plain, edited):
        theirs = np.array(spec_decoder.decode(data), np.float32)
        np.testing.assert_array_equal(theirs, read_tracks(data, tables).vectors)
    assert spec_decoder.decode(plain) != spec_decoder.decode(edited)


@pytest.mark.parametrize("variant", ["semantic", "keypoint"])
def test_streams_of_shipped_models(variant: str) -> None:
    export = load_export(variant)
    tables, rng = export.tables, np.random.default_rng(0)
    schema, file = tables.schema, io.BytesIO()
    vectors = np.cumsum(rng.normal(size=(8, schema.size)) * 0.1, 0).astype(np.float32)
    header = Header(variant, 64, 64, Fraction(25), len(vectors), export.model_id)
    encoder = VectorEncoder(schema, tables, group_frames=1, rate_weight=0.1, search_width=4)
    with StreamWriter(file, header) as writer:
        writer.write_static(0, encoder.key(vectors[0])[0])
        for vector in vectors:
            for group in encoder.push(vector):
                writer.write_motion(group)
    theirs = spec_decoder.decode(file.getvalue(), export.path)
    np.testing.assert_array_equal(
        np.array(theirs, np.float32), read_tracks(file.getvalue(), tables).vectors
    )


def test_fitted_tables() -> None:
    schema = builtin_schema("upper31")
    rng = np.random.default_rng(5)
    tables = fit_tables(schema, [np.cumsum(rng.normal(size=(60, schema.size)) * 0.1, 0)])
    index = [slot.index for slot in schema.dynamic]
    levels = np.rint(waving(schema, 20)[:, index] / [slot.step for slot in schema.dynamic])
    levels = levels.astype(np.int64)
    coder = MotionCoder(tables, 64)
    coder.restart(levels[0])
    groups = [Group(0, 12, True, coder.encode(levels[:12]))]
    groups += [Group(i, 1, False, coder.encode(levels[i : i + 1])) for i in range(12, 20)]
    plain = {name: array.tolist() for name, array in tables.to_arrays().items()}
    slow = spec_decoder.Decoder(plain, 64, len(index), len(schema.slots))
    slow.key = levels[0].tolist()
    decoded = [slow.motion(group.payload, group.count, group.resync) for group in groups]
    assert sum(decoded, []) == levels.tolist()
