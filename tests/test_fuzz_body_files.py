"""Hostile files of every kind end in a result or in one line: no traceback, second or 200 MB.

The number of inputs of each kind is HVC_FUZZ_INPUTS (10000 for a full run, a few hundred by
default), the first seed HVC_FUZZ_SEED.
"""

import os
import time
import tracemalloc
import warnings

import hostile_files
import numpy as np
import pytest

from hvc_jax.body import assets, bvh_retarget, keypoint_files, parameter_files
from hvc_jax.body.parameter_cameras import View
from hvc_jax.models.export import load_export

INPUTS = int(os.environ.get("HVC_FUZZ_INPUTS", "200"))
SEED = int(os.environ.get("HVC_FUZZ_SEED", "0"))
SECONDS = 1.0
BYTES = 200e6
VIEW = View(320, 240)


def _rest():
    return np.asarray(assets.load_body().J_template)


def _read_bvh(path):
    motion, pose = bvh_retarget.read_motion(path, _rest())
    assert np.isfinite(pose).all() and motion.fps > 0


def _read_parameters(path):
    found = parameter_files.load_parameters(path, view=VIEW, fps=25.0)
    assert np.isfinite(found.bodies).all() and np.isfinite(found.confidence).all()


def _read_keypoints(path):
    found = keypoint_files.load_keypoints(path, VIEW, 20, fps=25.0)
    assert np.isfinite(found.points).all() and np.isfinite(found.confidence).all()


def _read_model(path):
    assets.load_body.__wrapped__(str(path))


def _read_export(path):
    export = load_export(path)
    leaves = [export.params]
    while leaves:
        leaf = leaves.pop()
        if isinstance(leaf, dict):
            leaves += leaf.values()
        else:
            assert np.isfinite(np.asarray(leaf, np.float64)).all()
    assert export.tables.schema.size > 0 and export.config.model and len(export.model_id) == 8


KINDS = {
    "bvh": (hostile_files.bvh, _read_bvh),
    "keypoints": (hostile_files.keypoints, _read_keypoints),
    "parameters": (hostile_files.parameters, _read_parameters),
    "model": (hostile_files.model, _read_model),
    "export": (hostile_files.export, _read_export),
}


def _outcome(read, path):
    """Returns (fault or "", whether it was read, seconds of processor time)."""
    started, fault, done = time.process_time(), "", False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            read(path)
        done = True
    except ValueError as error:
        if "\n" in str(error) or len(str(error)) > 800 or path.name not in str(error):
            fault = f"no line with the file's name: {str(error)[:200]!r}"
    except Exception as error:
        fault = f"{type(error).__name__}: {str(error)[:200]}"
    return fault, done, time.process_time() - started


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_files_end_in_a_result_or_one_line(tmp_path, kind):
    make, read = KINDS[kind]
    _rest()
    make(np.random.default_rng(0))  # what is made once
    faults, slowest, largest, results = [], 0.0, 0.0, 0
    tracemalloc.start()
    try:
        for seed in range(SEED, SEED + INPUTS):
            name, data = make(np.random.default_rng([seed, len(kind)]))
            path = tmp_path / name
            path.write_bytes(data)
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            fault, done, seconds = _outcome(read, path)
            size = tracemalloc.get_traced_memory()[1] - before
            if seconds > 0.3 * SECONDS:  # counting memory takes three times as long
                tracemalloc.stop()
                seconds = _outcome(read, path)[2]
                tracemalloc.start()
            results += done
            slowest, largest = max(slowest, seconds), max(largest, size)
            if seconds > SECONDS or size > BYTES:
                fault += f" {seconds:.2f} s, {size / 1e6:.0f} MB"
            if fault:
                faults.append((seed, fault))
    finally:
        tracemalloc.stop()
    print(
        f"{kind}: {INPUTS} inputs, {results} read, {slowest:.2f} s, {largest / 1e6:.0f} MB at most"
    )
    assert not faults, f"{len(faults)} of {INPUTS}: {faults[:10]}"
