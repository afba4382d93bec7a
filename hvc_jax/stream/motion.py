"""Levels to payload bytes and back: the content of MOTION units.

    MOTION  [resync: a flag that is 0]
            per frame: "holds still?"; if not, the tokens of every stage's residuals
    packet  of a single frame: the tokens alone, in tables that its length chooses
    empty   every frame holds still

Extra bits of large values follow the tokens of their stage. A frame that holds still leaves no
trace in the contexts, so repeated frames of a converted clip cost nothing and spoil nothing.
Imports no jax.
"""

import numpy as np

from hvc_jax.stream.contexts import MotionContexts, capped, folded, predicted
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.levels import QUANTISER_ONE, checked
from hvc_jax.stream.packets import Packets, shortest
from hvc_jax.stream.range_coder import SymbolDecoder, SymbolEncoder
from hvc_jax.stream.tables import CodingTables
from hvc_jax.stream.tokens import EXTRA_BITS, FIRST_WITH_BITS, NUM_TOKENS, read_values, to_tokens

_CHUNK = 256  # frames whose contexts are computed at once; bounds memory
_SYMBOLS = 512  # symbols whose table rows are looked up at once; more would leave the cache
_FRESH = 3  # hold context of the first frame after a restart


class MotionCoder:
    """Codes groups of dynamic levels; the decoder mirrors the encoder state by state.

    `state` is what is remembered of the frames so far, slots in coding order; `fresh` whether the
    next frame is the first after a restart; `held` whether the last two held still, 0 or 1 each.
    """

    def __init__(self, tables: CodingTables, quantiser: int) -> None:
        self._tables = tables
        self.contexts = MotionContexts(tables, quantiser, QUANTISER_ONE)
        self._hold = _padded_rows(tables.hold)
        self._table = np.concatenate([self.contexts.table, self._hold])
        self._flag_row = len(self.contexts.table)
        self._order = self.contexts.order
        self._back = np.argsort(self._order)

    def restart(self, key_levels: np.ndarray) -> None:
        """Forgets everything but the key frame's dynamic levels [slots]."""
        self.state = self.contexts.fresh(key_levels[self._order])
        self.fresh = True
        self.held = (0, 0)

    def _hold_context(self) -> int:
        return _FRESH if self.fresh else sum(self.held)

    def trial(self, levels: np.ndarray) -> int:
        """Returns the payload bytes of `encode`, without moving on."""
        kept = self.state.copy(), self.fresh, self.held
        size = len(self.encode(levels))
        self.state, self.fresh, self.held = kept
        return size

    def encode(self, levels: np.ndarray) -> bytes:
        """Returns the payload of the next frames' dynamic `levels` [count, slots] int64."""
        levels = levels[:, self._order]
        if (levels == self.state.last).all():
            self._hold_all(len(levels))
            return b""
        if len(levels) == 1 and not self.fresh:
            return self._encode_packet(levels[0])
        encoder = SymbolEncoder()
        if self.fresh:
            encoder.symbols(np.zeros(1, int), self._hold[:1])
        for start in range(0, len(levels), _CHUNK):
            self._encode(encoder, levels[start : start + _CHUNK])
        return encoder.finish() or b"\0"

    def _hold_all(self, count: int) -> None:
        self.fresh, self.held = False, (self.held[1] if count == 1 else 1, 1)

    def _encode_packet(self, levels: np.ndarray) -> bytes:
        """Returns the payload of a single frame that moves, levels [slots] in coding order."""
        packets = Packets(self.contexts, self.state, levels[None])
        self.contexts.advance(self.state, levels, packets.guessed)
        self.held = (self.held[1], 0)
        return shortest(packets)

    def _first_flag(self, decoder: SymbolDecoder) -> None:
        """Passes the flag in front of the first group behind a key picture, which is 0."""
        if decoder.symbols(self._hold[:1])[0]:
            raise BitstreamError("these bytes are no coded motion of this version")

    def _encode(self, encoder: SymbolEncoder, levels: np.ndarray) -> None:
        contexts = self.contexts
        before = np.concatenate([self.state.last[None], levels[:-1]])
        holds = (levels == before).all(1)
        flags = np.zeros(len(levels), int)
        for i, hold in enumerate(holds.tolist()):
            flags[i] = self._hold_context()
            self.fresh, self.held = False, (self.held[1], int(hold))
        rows = np.zeros((len(levels), 1 + levels.shape[1]), np.int64)
        rows[:, 0] = self._flag_row + flags
        moves = np.flatnonzero(~holds)
        residuals = np.zeros_like(levels)
        if len(moves) and flags[moves[0]] == _FRESH:
            # The first frame after a restart, which nothing predicts.
            first, moves = moves[0], moves[1:]
            residuals[first] = levels[first] - self.state.last
            rows[first, 1:] = contexts.rows(contexts.spread(), 0)
            self.state = contexts.fresh(levels[first])
        if len(moves):
            followed = contexts.follow(self.state, levels[moves])
            scale = contexts.scale(followed.means) + contexts.around(capped(followed.residuals))
            fold, sign = folded(followed.phases)
            rows[moves, 1:] = contexts.rows(scale, fold)
            residuals[moves] = followed.residuals * sign
        tokens, extra = to_tokens(residuals)
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
            for part in self.contexts.parts:
                hits = 1 + part.start + np.flatnonzero(long[i, 1 + part.start : 1 + part.stop])
                if len(hits):
                    stop = place[i, part.stop]
                    self._symbols(encoder, flat[done:stop], flat_rows[done:stop])
                    done = stop
                    for j in hits:
                        encoder.bits(int(extra[i, j - 1]), EXTRA_BITS[symbols[i, j]])
        self._symbols(encoder, flat[done:], flat_rows[done:])

    def _symbols(self, encoder: SymbolEncoder, symbols: np.ndarray, rows: np.ndarray) -> None:
        """Codes symbols [n] with table rows of these numbers [n], a few at a time."""
        for start in range(0, len(symbols), _SYMBOLS):
            here = slice(start, start + _SYMBOLS)
            encoder.symbols(symbols[here], self._table.take(rows[here], axis=0))

    def decode(self, payload: bytes, count: int) -> np.ndarray:
        """Returns dynamic levels [count, slots] int64; BitstreamError: no encoder's payload."""
        levels = np.zeros((count, len(self._order)), np.int64)
        if not payload:
            levels[:] = self.state.last
            self._hold_all(count)
            return levels[:, self._back]
        decoder = SymbolDecoder(payload)
        try:
            if count == 1 and not self.fresh:
                self._decode_moving(decoder, levels[0], len(payload))
                self.held = (self.held[1], 0)
                return checked(levels)[:, self._back]
            if self.fresh:
                self._first_flag(decoder)
            for row in levels:
                self._decode(decoder, row)
        except ValueError as error:
            raise BitstreamError(getattr(error, "reason", str(error))) from error
        return checked(levels)[:, self._back]

    def _decode(self, decoder: SymbolDecoder, row: np.ndarray) -> None:
        state, contexts = self.state, self.contexts
        flag = int(decoder.symbols(self._hold[self._hold_context()][None])[0])
        if flag > 1:
            raise BitstreamError("these bytes are no coded motion")
        if flag:
            row[:] = state.last
        elif self.fresh:
            row[:] = state.last
            for part in contexts.parts:
                tokens = decoder.symbols(contexts.frequencies(contexts.spread()[part], 0))
                row[part] += read_values(tokens, decoder.bits)
            self.state = contexts.fresh(row)
        else:
            self._decode_moving(decoder, row)
        self.fresh, self.held = False, (self.held[1], flag)

    def _decode_moving(self, decoder: SymbolDecoder, row: np.ndarray, size: int = 0) -> None:
        """Reads a frame that is predicted; `size` is that of its packet if it has one."""
        state, contexts = self.state, self.contexts
        guessed, change, phase = contexts.predict(state)
        fold, sign = folded(phase)
        scale, shift = contexts.scale(state.means), None
        if size:
            (shift,) = contexts.shifts(scale, fold, [size])
        row[:] = predicted(state.last, change)
        row += self._residuals(decoder, scale, fold, shift) * sign
        contexts.advance(state, row, guessed)

    def _residuals(
        self, decoder: SymbolDecoder, scale: np.ndarray, fold: np.ndarray, shift: int | None
    ) -> np.ndarray:
        """Returns one frame's residuals, mirrored as they were coded."""
        contexts = self.contexts
        values = np.zeros(len(scale), np.int64)
        magnitudes = np.zeros(len(scale), np.int64)
        for number, part in enumerate(contexts.parts):
            here = scale[part]
            if number:
                here = here + contexts.before(magnitudes[: part.start], number)
            tokens = decoder.symbols(contexts.frequencies(here, fold[part], shift))
            values[part] = found = read_values(tokens, decoder.bits)
            magnitudes[part] = capped(found)
        return values


def _padded_rows(rows: np.ndarray) -> np.ndarray:
    """Returns rows [N, tokens] of a binary table, so that one call codes flags and tokens."""
    out = np.ones((len(rows), NUM_TOKENS))
    out[:, :2] = rows
    return out
