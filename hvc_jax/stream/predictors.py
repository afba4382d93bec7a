"""Learning the linear predictors that compete in `contexts.py`; runs when a model is exported.

Short pieces of every number's track are clustered by which predictor would serve them best, and
every predictor is fitted to its cluster: k-means, with log squared error for the distance. Floats
are fine here: the result is rounded to integers and frozen. Imports no jax.
"""

import numpy as np

from hvc_jax.stream import tables as t

_PIECE = 32  # frames; about what a predictor's running error remembers
_ROUNDS = 12
_QUIET = 0.05  # squared error a frame, in weighted steps, that is as good as none


def learned_gains(tracks: list[np.ndarray]) -> np.ndarray:
    """Returns gains [PREDICTORS, LAGS] int64 in 1/256 that guess tracks [n, D] of levels best."""
    gram, cross, power, frames = _pieces(tracks)
    common = np.linalg.solve(gram.sum(0) + 50 * np.eye(t.LAGS), cross.sum(0))
    # From "as before", which stays, to "half as far again as the common guess says".
    gains = np.linspace(0.0, 1.5, t.PREDICTORS)[:, None] * common
    for _ in range(_ROUNDS):
        errors = _errors(gains, gram, cross, power, frames)
        nearest, smallest = errors.argmin(0), errors.min(0)
        for k in range(1, t.PREDICTORS):
            weight = np.where(nearest == k, frames / smallest, 0.0)
            inner = np.tensordot(weight, gram, 1) + 20 * np.eye(t.LAGS)
            gains[k] = np.linalg.solve(inner, weight @ cross)
    limit = 4 << t.PREDICTOR_BITS
    return np.clip(np.rint(gains * (1 << t.PREDICTOR_BITS)), -limit, limit).astype(np.int64)


def favourites(tracks: list[np.ndarray], gains: np.ndarray) -> np.ndarray:
    """Returns for every slot [D] the predictor that guesses it best; gains are in 1/256."""
    total = np.zeros((t.PREDICTORS, tracks[0].shape[1]))
    for track in tracks:
        lags, change, weight = _lags(track)
        guesses = np.tensordot(gains / (1 << t.PREDICTOR_BITS), lags, 1)
        total += (np.abs(guesses - change) * weight).sum(1)
    return total.argmin(0)


def _errors(
    gains: np.ndarray, gram: np.ndarray, cross: np.ndarray, power: np.ndarray, frames: np.ndarray
) -> np.ndarray:
    """Returns the squared errors [PREDICTORS, pieces] of the predictors on all pieces."""
    flat = gram.reshape(len(gram), -1)
    squares = np.stack([flat @ np.outer(g, g).ravel() for g in gains])
    return np.maximum(power - 2 * gains @ cross.T + squares, 0.0) + _QUIET * frames


def _pieces(tracks: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Returns moments of all pieces that move: [n, LAGS, LAGS], [n, LAGS], [n], frames [n]."""
    grams, crosses, powers, frames = [], [], [], []
    for track in tracks:
        lags, change, weight = _lags(track)
        lags, change = lags * weight, change * weight
        for start in range(0, len(change), _PIECE):
            here = slice(start, start + _PIECE)
            x, y = lags[:, here].transpose(2, 0, 1), change[here].T[..., None]
            grams.append(x @ x.transpose(0, 2, 1))
            crosses.append((x @ y)[..., 0])
            powers.append((y**2).sum((1, 2)))
            frames.append(np.full(len(y), y.shape[1]))
    gram, cross, power, count = map(np.concatenate, (grams, crosses, powers, frames))
    moving = power > 0.5
    if not moving.any():
        moving[:1] = True
    return gram[moving], cross[moving], power[moving], count[moving].astype(np.float64)


def _lags(track: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns past changes [LAGS, n, D], changes [n, D] and their weights [n, D] of a track."""
    change = np.diff(track, axis=0).astype(np.float64)
    padded = np.concatenate([np.zeros((t.LAGS, change.shape[1])), change])
    lags = np.stack([padded[t.LAGS - 1 - k :][: len(change)] for k in range(t.LAGS)])
    return lags, change, 1 / (0.3 + _recent(np.abs(change)))


def _recent(sizes: np.ndarray) -> np.ndarray:
    """Returns running means [n, D] in front of each frame of `sizes`."""
    out, mean = np.empty_like(sizes), np.full(sizes.shape[1], 0.3)
    for row, size in zip(out, sizes, strict=True):
        row[:] = mean
        mean = mean + (size - mean) / 32
    return out
