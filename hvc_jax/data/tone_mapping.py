"""High dynamic range (HLG, PQ) to the standard range that the codec and its networks work in.

Light is computed as ITU-R BT.2100-2 defines it, compressed by the curve of ITU-R BT.2390-11
section 5.4.1 (EETF) from the 1000 cd/m2 that such material is graded for to the 100 cd/m2 of a
standard display, brought from the primaries of BT.2020 to those of BT.709 and written with the
gamma 2.4 of BT.1886.
"""

import functools

import numpy as np

PQ, HLG = 16, 18
"""Transfer characteristics of HDR video in ITU-T H.273: SMPTE ST 2084, and ARIB STD-B67."""

SOURCE_PEAK, TARGET_PEAK = 1000.0, 100.0
"""cd/m2: what HDR is graded for, and what a standard display shows (BT.2100, BT.1886)."""

_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593], np.float32)
_TO_709 = np.array(  # BT.2087-0, annex 2: linear light, BT.2020 to BT.709
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
_P3_TO_709 = np.array(  # of the primaries of SMPTE EG 432-1 and BT.709, both with D65
    [[1.2249, -0.2249, 0], [-0.0421, 1.0421, 0], [-0.0196, -0.0786, 1.0983]], np.float32
)
BT2020, P3 = 9, 12
"""Colour primaries in ITU-T H.273: BT.2020, and those of telephones' screens (Display P3)."""

_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def pq_to_light(signal: np.ndarray) -> np.ndarray:
    """Returns display light in cd/m2 of a PQ signal in [0, 1] (BT.2100 table 4, EOTF)."""
    power = np.asarray(signal) ** (1 / _M2)
    return 10000.0 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def light_to_pq(light: np.ndarray) -> np.ndarray:
    """Returns the PQ signal in [0, 1] of display light in cd/m2 (inverse of `pq_to_light`)."""
    power = (np.maximum(light, 0) / 10000.0) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def hlg_to_scene(signal: np.ndarray) -> np.ndarray:
    """Returns scene light in [0, 1] of an HLG signal in [0, 1] (BT.2100 table 5, inverse OETF)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal = np.asarray(signal)
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def compress(light: np.ndarray) -> np.ndarray:
    """Returns light in cd/m2 compressed from `SOURCE_PEAK` to `TARGET_PEAK`: the EETF of BT.2390.

    Light below the knee, about 30 cd/m2, stays as it is.
    """
    peak = light_to_pq(np.float64(SOURCE_PEAK))
    e1 = np.minimum(light_to_pq(light) / peak, 1.0)
    most = light_to_pq(np.float64(TARGET_PEAK)) / peak
    knee = 1.5 * most - 0.5
    t = (np.maximum(e1, knee) - knee) / (1 - knee)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * most
    )
    return pq_to_light(np.where(e1 < knee, e1, spline) * peak)


@functools.cache
def _gain_table() -> tuple[np.ndarray, np.ndarray]:
    """Light in cd/m2 and the factor that `compress` applies to it, to interpolate in."""
    light = pq_to_light(np.linspace(0, 1, 4096))
    return light, np.where(light > 0, compress(light) / np.maximum(light, 1e-9), 1.0)


def tone_map(signal: np.ndarray, transfer: int) -> np.ndarray:
    """Returns HDR R'G'B' [H, W, 3] uint16 of BT.2020, full range, as [H, W, 3] uint8 of BT.709.

    `transfer`: `PQ` or `HLG`. All three channels are scaled alike, by the brightest, so that hues
    stay; what lies outside the gamut of BT.709 is clipped.
    """
    levels = np.linspace(0, 1, 65536)
    if transfer == HLG:
        scene = hlg_to_scene(levels).astype(np.float32)[signal]
        # The OOTF of a display of 1000 cd/m2 has gamma 1.2.
        light = SOURCE_PEAK * scene * ((scene @ _LUMA_2020) ** 0.2)[..., None]
    else:
        light = pq_to_light(levels).astype(np.float32)[signal]
    gain = np.interp(light.max(axis=-1), *_gain_table()).astype(np.float32)
    linear = np.clip((light * gain[..., None]) @ _TO_709.T / TARGET_PEAK, 0, 1)
    return np.rint(255 * linear ** (1 / 2.4)).astype(np.uint8)


def to_standard_gamut(signal: np.ndarray, primaries: int) -> np.ndarray:
    """Returns R'G'B' [H, W, 3] uint16, full range, gamma 2.4, as [H, W, 3] uint8 of BT.709.

    `primaries`: `BT2020` or `P3`; what lies outside the gamut of BT.709 is clipped.
    """
    light = (np.linspace(0, 1, 65536) ** 2.4).astype(np.float32)[signal]
    linear = np.clip(light @ (_P3_TO_709 if primaries == P3 else _TO_709).T, 0, 1)
    return np.rint(255 * linear ** (1 / 2.4)).astype(np.uint8)
