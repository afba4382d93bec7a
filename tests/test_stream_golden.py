"""Streams committed as files: changing what their bytes mean needs a new format version."""

import hashlib
from pathlib import Path

import pytest
from stream_cases import stream

from hvc_jax.stream.edit import read_tracks
from hvc_jax.stream.schema import builtin_schema
from hvc_jax.stream.tables import default_tables

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


@pytest.mark.parametrize("name", CASES)
def test_bytes_and_values_are_what_they_were(name: str) -> None:
    how, file_hash, vector_hash = CASES[name]
    data = (GOLDEN / name).read_bytes()
    # A change here is a change of the format: raise the version with it.
    assert hashlib.sha256(data).hexdigest() == file_hash and data[4] == 3
    assert stream(**how) == data
    tracks = read_tracks(data, default_tables(builtin_schema(how["schema_name"])))
    assert hashlib.sha256(tracks.vectors.astype("<f4").tobytes()).hexdigest() == vector_hash
