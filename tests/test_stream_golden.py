"""Streams committed as files: changing what their bytes mean needs a new format version."""

import hashlib
import io
from pathlib import Path

import pytest
from field_cases import GOLDEN as FIELD_CASE
from field_cases import LIVE, FieldCase, field_stream, hybrid_stream, layout
from stream_cases import stream

from hvc_jax.stream.container import StreamReader
from hvc_jax.stream.edit import edit
from hvc_jax.stream.field import decode_levels
from hvc_jax.stream.field_unit import field_group, grid_size
from hvc_jax.stream.operations import parse_assignment
from hvc_jax.stream.schema import builtin_schema
from hvc_jax.stream.tables import default_tables
from hvc_jax.stream.tracks import read_tracks
from hvc_jax.stream.units import UnitType

GOLDEN = Path(__file__).parent / "golden"

# name: how to make it, sha256 of the file, sha256 of the decoded float32 vectors
CASES = {
    "upper31.hvc": (
        {"schema_name": "upper31", "frames": 50, "keys": (0, 30), "group_frames": 16},
        "58e45e23c79f68c76d63522548f9dc3acdeb11bde5dfcf1479d5742b6b411733",
        "25e35d9ea6f33931994f7d29640471ff7282e0a12feb5ed82a294509f7c93356",
    ),
    "token8_live.hvc": (
        {"schema_name": "token8", "frames": 9, "group_frames": 1, "count_known": False},
        "59f54a129aa70e9b331212ff0077d5bd46bf4a4de61c41695516e394974b1dd7",
        "5c25783611fabdcb742f0a665ba28a95454477b6cf1740a9bcfbe94e01086ddb",
    ),
    "upper31_live.hvc": (
        {"schema_name": "upper31+camera", "frames": 20, "group_frames": 1, "resync_groups": 8},
        "156ba97f8fc93054dc6d6c4276b5c3bf39a776bfe09e3e3dc626508b29b83966",
        "a82aafa0ef13f69517577b5961358c9c051b669a0707360c3dd6c0571052feff",
    ),
}

# name: how to make it, sha256 of the file, and of what it says
FIELDS = {
    "field.hvc": (
        FIELD_CASE,
        "ff72ad7359fc264923b181377b3f3d40574401c8067a2844c905fa33014c77a9",
        "4a97e933c2b8b2fc658df9c27f832477e56bae0c56e81b67c32212bd16c9835f",
    ),
    "field_live.hvc": (
        LIVE,
        "6f427665a828757bbd68d86e4bf761a077b6fcd9ab59670480ff4daa6b11f5fa",
        "f19e3e73fbcb2040a5c71bb914cee0b895121d61b50b3facb08aa03af6a1b6a8",
    ),
}
HYBRID_HASHES = (
    "a00912f63fc884671468e26dd298b4d8f339caf6ba78873a5ccc8f27455b4039",
    "1b12d0c31a3891b1c7453c80371838ec88141dc40ebbc03ce634799a81d45089",
)


SHAPE_HASHES = (
    "6e7dbf111b89a139bc770ed76fede232aa0f13410fee4629a164026821cc3aa3",
    "2ad813a1b01c3e4e80fe672158c261c85ac083a0653fa2e997e6aea83fb78bfc",
)


@pytest.mark.parametrize("name", CASES)
def test_bytes_and_values_are_what_they_were(name: str) -> None:
    how, file_hash, vector_hash = CASES[name]
    data = (GOLDEN / name).read_bytes()
    # A change here is a change of the format: raise the version with it.
    assert hashlib.sha256(data).hexdigest() == file_hash and data[4] == 3
    assert stream(**how) == data
    tracks = read_tracks(data, default_tables(builtin_schema(how["schema_name"])))
    assert hashlib.sha256(tracks.vectors.astype("<f4").tobytes()).hexdigest() == vector_hash


@pytest.mark.parametrize("name", FIELDS)
def test_fields_are_what_they_were(name: str) -> None:
    case, file_hash, said_hash = FIELDS[name]
    data = (GOLDEN / name).read_bytes()
    assert data[4] == 4 and field_stream(case)[0] == data
    assert hashlib.sha256(data).hexdigest() == file_hash
    assert said(case, data) == said_hash


def said(case: FieldCase, data: bytes) -> str:
    """SHA-256 of the levels, modes and steps of a stream of fields."""
    found = hashlib.sha256()
    units = [u for u in StreamReader(io.BytesIO(data)).units() if u.type == UnitType.FIELD]
    for number, group in enumerate(map(field_group, units)):
        parts = layout(case, number)
        if parts:
            grid = grid_size(group.grid, *case.size)
            levels, modes, step = decode_levels(group.payload, parts, *grid, group.step)
            found.update(levels.astype("<i4").tobytes() + modes.tobytes() + bytes([step]))
    return found.hexdigest()


def test_edits_of_a_hybrid_are_what_they_were() -> None:
    data = (GOLDEN / "hybrid.hvc").read_bytes()
    assert hashlib.sha256(data).hexdigest() == HYBRID_HASHES[0] and data[4] == 4
    assert hybrid_stream("token8") == data
    tracks = read_tracks(data, default_tables(builtin_schema("token8")))
    vectors = tracks.vectors.astype("<f4").tobytes()
    assert hashlib.sha256(vectors).hexdigest() == HYBRID_HASHES[1]


def test_an_edit_of_body_shape_is_what_it_was() -> None:
    data = (GOLDEN / "shape.hvc").read_bytes()
    tables = default_tables(builtin_schema("upper31"))
    operations = [parse_assignment(text) for text in ("shape_1=+1", "betas_7-=0.4", "jaw_x+=0.3")]
    assert edit(stream("upper31", keys=(0, 7)), operations, tables) == data
    assert hashlib.sha256(data).hexdigest() == SHAPE_HASHES[0] and data[4] == 3
    vectors = read_tracks(data, tables).vectors.astype("<f4").tobytes()
    assert hashlib.sha256(vectors).hexdigest() == SHAPE_HASHES[1]
