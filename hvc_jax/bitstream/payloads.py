"""Levels to payload bytes and back: the content of STATIC and MOTION units.

    STATIC  token of every slot's level, dynamic slots first
    MOTION  per frame: "holds still?"; if not, the tokens of every stage's residuals

Extra bits of large values follow the tokens of their stage (STATIC: of their slot). A frame that
holds still leaves no trace in the contexts, so repeated frames of a converted clip cost nothing and
spoil nothing. Imports no jax.
"""

import bisect

import numpy as np

from hvc_jax.bitstream.errors import BitstreamError
from hvc_jax.bitstream.levels import MAX_LEVEL, QUANTISER_ONE, checked
from hvc_jax.bitstream.rdo import LevelChooser
from hvc_jax.entropy.adaptive import MAGNITUDE_CAP, MotionContexts, capped, folded
from hvc_jax.entropy.coder import SymbolDecoder, SymbolEncoder
from hvc_jax.entropy.tables import FRACTION_BITS, CodingTables
from hvc_jax.entropy.tokens import (
    EXTRA_BITS,
    FIRST_WITH_BITS,
    NUM_TOKENS,
    from_tokens,
    to_tokens,
)

_CHUNK = 64  # frames whose contexts are computed at once; bounds memory
_FRESH = 3  # hold context of the first frame after a restart


class MotionCoder:
    """Codes groups of dynamic levels; the decoder mirrors the encoder state by state."""

    def __init__(self, tables: CodingTables, quantiser: int) -> None:
        self._tables = tables
        self._contexts = MotionContexts(tables, quantiser, QUANTISER_ONE)
        self._hold = _padded_rows(tables.hold)
        self._order = np.concatenate([*self._contexts.stages, np.zeros(0, np.int64)]).astype(int)
        # In flat order "hold flag, then stage by stage": where each stage ends.
        self._ends = 1 + np.cumsum([len(stage) for stage in self._contexts.stages])

    def restart(self, key_levels: np.ndarray) -> None:
        """Forgets everything but the key frame's dynamic levels [slots]."""
        self._state = self._contexts.restart(key_levels)
        self._fresh = True
        self._held = (0, 0)

    def _hold_context(self) -> int:
        return _FRESH if self._fresh else sum(self._held)

    def choose(self, chooser: LevelChooser, values: np.ndarray) -> np.ndarray:
        """Returns levels [count, slots] for `values` (in steps), cheap to code as the next ones."""
        return chooser.choose(values, self._state, self._fresh, self._held)

    def chooser(self, rate_weight: float) -> LevelChooser:
        """Returns what chooses levels for this coder."""
        return LevelChooser(self._tables, self._contexts, rate_weight)

    def encode(self, levels: np.ndarray) -> bytes:
        """Returns the payload of the next frames' dynamic `levels` [count, slots]."""
        encoder = SymbolEncoder()
        for start in range(0, len(levels), _CHUNK):
            self._encode(encoder, levels[start : start + _CHUNK])
        return encoder.finish()

    def _encode(self, encoder: SymbolEncoder, levels: np.ndarray) -> None:
        contexts, count = self._contexts, levels.shape[1]
        residuals = np.zeros_like(levels)
        phases = np.zeros_like(levels)
        means = np.zeros((len(self._state.means), *levels.shape), np.int64)
        holds = np.zeros(len(levels), bool)
        rows = np.zeros((len(levels), 1 + count, NUM_TOKENS))
        jump = None
        for i, row in enumerate(levels):
            rows[i, 0] = self._hold[self._hold_context()]
            holds[i] = bool((row == self._state.last).all())
            means[:, i] = self._state.means
            residuals[i] = row - self._state.last
            if holds[i]:
                pass
            elif self._fresh:
                jump = i
                self._state = contexts.restart(row)
            else:
                change, phases[i] = contexts.predict(self._state.differences, self._state.means)
                residuals[i] -= _limited(self._state.last, change)
                self._state = contexts.advance(self._state, row, capped(residuals[i]))
            self._fresh, self._held = False, (self._held[1], int(holds[i]))
        scale = contexts.scale(means) + contexts.neighbours(capped(residuals), slice(None))
        if jump is not None:
            scale[jump] = contexts.spread()
        rows[:, 1:] = contexts.frequencies(scale, phases)[:, self._order]
        tokens, extra = to_tokens((residuals * folded(phases))[:, self._order])
        symbols = np.concatenate([holds[:, None], tokens], axis=1)
        self._put(encoder, symbols, rows, extra, holds)

    def _put(
        self,
        encoder: SymbolEncoder,
        symbols: np.ndarray,
        rows: np.ndarray,
        extra: np.ndarray,
        holds: np.ndarray,
    ) -> None:
        """Codes everything in one go, but for stops where extra bits come in between."""
        present = np.ones(symbols.shape, bool)
        present[holds, 1:] = False
        long = (symbols >= FIRST_WITH_BITS) & present
        place = np.cumsum(present).reshape(present.shape)
        flat, flat_rows = symbols[present], rows[present]
        done = 0
        for i in np.flatnonzero(long.any(1)):
            begin = 1
            for end in self._ends:
                hits = begin + np.flatnonzero(long[i, begin:end])
                begin = end
                if len(hits):
                    stop = place[i, end - 1]
                    encoder.symbols(flat[done:stop], flat_rows[done:stop])
                    done = stop
                    for j in hits:
                        encoder.bits(int(extra[i, j - 1]), EXTRA_BITS[symbols[i, j]])
        encoder.symbols(flat[done:], flat_rows[done:])

    def decode(self, payload: bytes, count: int) -> np.ndarray:
        """Returns the dynamic levels [count, slots] int64 of the next frames.

        Raises:
          BitstreamError: when the payload was not written by an encoder.
        """
        decoder = SymbolDecoder(payload)
        levels = np.zeros((count, len(self._state.last)), np.int64)
        try:
            for row in levels:
                self._decode(decoder, row)
        except ValueError as error:
            raise BitstreamError(getattr(error, "reason", str(error))) from error
        return checked(levels)

    def _decode(self, decoder: SymbolDecoder, row: np.ndarray) -> None:
        state, contexts = self._state, self._contexts
        flag = int(decoder.symbols(self._hold[self._hold_context()][None])[0])
        if flag > 1:
            raise BitstreamError("these bytes are no coded motion")
        if flag:
            row[:] = state.last
        else:
            change = phase = np.zeros_like(row)
            if self._fresh:
                scale = contexts.spread()
            else:
                change, phase = contexts.predict(state.differences, state.means)
                scale = contexts.scale(state.means)
            residuals = self._take(decoder, scale, phase)
            row[:] = state.last + _limited(state.last, change) + residuals
            if self._fresh:
                self._state = contexts.restart(row.copy())
            else:
                self._state = contexts.advance(state, row.copy(), capped(residuals))
        self._fresh, self._held = False, (self._held[1], flag)

    def _take(self, decoder: SymbolDecoder, scale: np.ndarray, phase: np.ndarray) -> np.ndarray:
        """Returns one frame's residuals."""
        residuals = np.zeros(len(scale), np.int64)
        magnitudes = np.zeros(len(scale), np.int64)
        sign = folded(phase)
        for number, stage in enumerate(self._contexts.stages):
            here = scale[stage]
            if number and not self._fresh:
                here = here + self._contexts.neighbours(magnitudes, stage)
            tokens = decoder.symbols(self._contexts.frequencies(here, phase[stage]))
            values = from_tokens(tokens, _extra(decoder, tokens))
            magnitudes[stage] = capped(values)
            residuals[stage] = values * sign[stage]
        return residuals


def encode_static(tables: CodingTables, quantiser: int, levels: np.ndarray) -> bytes:
    """Returns the STATIC payload of a key frame's `levels` [slots]."""
    encoder = SymbolEncoder()
    contexts = _StaticContexts(tables, quantiser)
    tokens, extra = to_tokens(levels)
    for i, level in enumerate(levels):
        encoder.symbols(tokens[i : i + 1], contexts.frequencies(i))
        encoder.bits(int(extra[i]), EXTRA_BITS[tokens[i]])
        contexts.update(i, int(level))
    return encoder.finish()


def decode_static(tables: CodingTables, quantiser: int, payload: bytes) -> np.ndarray:
    """Returns the levels [slots] int64 of a key frame.

    Raises:
      BitstreamError: when the payload was not written by an encoder.
    """
    decoder = SymbolDecoder(payload)
    contexts = _StaticContexts(tables, quantiser)
    levels = np.zeros(len(tables.schema.slots), np.int64)
    try:
        for i in range(len(levels)):
            token = int(decoder.symbols(contexts.frequencies(i))[0])
            if token:
                levels[i] = from_tokens(token, decoder.bits(EXTRA_BITS[token]))
            contexts.update(i, int(levels[i]))
    except ValueError as error:
        raise BitstreamError(str(error)) from error
    return checked(levels)


class _StaticContexts:
    """Scale of each level of a key frame: what is usual for the slot, and how large the last were.

    The second part makes a body that was never posed below the wrists cost next to nothing.
    """

    def __init__(self, tables: CodingTables, quantiser: int) -> None:
        # Python integers: a slot at a time, they are faster than arrays.
        self._rows = tables.frequencies[:, None, 0].astype(float)
        self._thresholds = tables.thresholds.tolist()
        self._spread = (tables.spread * QUANTISER_ONE // quantiser << FRACTION_BITS).tolist()
        self._dynamic = len(tables.schema.dynamic)
        self._recent = 1 << FRACTION_BITS

    def frequencies(self, slot: int) -> np.ndarray:
        scale = self._spread[slot]
        if slot >= self._dynamic:
            scale = (scale >> 4) + (self._recent << 7)
        return self._rows[bisect.bisect_left(self._thresholds, scale)]

    def update(self, slot: int, level: int) -> None:
        if slot >= self._dynamic:
            magnitude = min(abs(level), MAGNITUDE_CAP) << FRACTION_BITS
            self._recent += (magnitude - self._recent) >> 2


def _limited(last: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Returns `change`, such that the prediction stays inside 32 bits."""
    # Not np.clip, which takes longer than all the rest of a small frame.
    return np.minimum(np.maximum(last + change, -MAX_LEVEL), MAX_LEVEL) - last


def _extra(decoder: SymbolDecoder, tokens: np.ndarray) -> np.ndarray | int:
    if tokens.max(initial=0) < FIRST_WITH_BITS:
        return 0
    extra = np.zeros(len(tokens), np.int64)
    for i in np.flatnonzero(tokens >= FIRST_WITH_BITS):
        extra[i] = decoder.bits(EXTRA_BITS[tokens[i]])
    return extra


def _padded_rows(rows: np.ndarray) -> np.ndarray:
    """Returns rows [N, tokens] of a binary table, so that one call codes flags and tokens."""
    out = np.ones((len(rows), NUM_TOKENS))
    out[:, :2] = rows
    return out
