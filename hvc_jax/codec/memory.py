"""How many frames a network sees at once, so that it stays within a stated amount of memory."""

from collections.abc import Callable
from typing import Any

from hvc_jax.codec.options import CodecError

DEFAULT_MAX_MEMORY = 8 << 30
"""Bytes that a compiled program may take beside its inputs; the `--max-memory` of the commands."""

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def parse_memory(text: str) -> int:
    """Returns bytes of a text such as "8G", "500M" or "1.5 GB"; else ValueError."""
    word = text.strip().lower().removesuffix("b").removesuffix("i").strip()
    unit = word[-1:] if word[-1:] in _UNITS else ""
    try:
        amount = float(word.removesuffix(unit)) * _UNITS[unit]
    except ValueError:
        amount = 0.0
    if not 1 <= amount < 1 << 60:
        raise ValueError(f"{text!r} is no amount of memory; write it like 8G or 500M")
    return int(amount)


def check_memory(what: str, needed: int, allowed: int) -> None:
    """Raises CodecError where work, named by `what` up to its verb, takes more than is allowed."""
    if needed > allowed:
        gib = 1 << 30
        raise CodecError(
            f"{what} {needed / gib:.1f} GiB, more than the {allowed / gib:.1f} GiB that are "
            f"allowed; if there is as much, add --max-memory {-(-needed // gib)}G"
        )


class Fitting:
    """A program of `jax.jit`, compiled for as many frames as fit into the memory allowed.

    Nothing is allocated to find out: the compiler says how much its programs need.
    """

    def __init__(self, program: Any, most: int, max_memory: int) -> None:
        """Takes a jitted function, the frames wanted at once and the bytes that it may take."""
        self._program, self._most, self._max_memory = program, most, max_memory
        self._compiled: dict[str, tuple[Callable[..., Any], int]] = {}

    def compiled(
        self, arguments: Callable[[int], tuple], what: str
    ) -> tuple[Callable[..., Any], int]:
        """Returns the compiled program and the number of frames that it takes at once.

        Args:
            arguments: From a number of frames to the arguments of the program.
            what: The work, in words, for errors; the same words stand for the same shapes.

        Raises CodecError: A single frame takes more than is allowed.
        """
        if what not in self._compiled:
            self._compiled[what] = self._fit(arguments, what)
        return self._compiled[what]

    def _fit(self, arguments: Callable[[int], tuple], what: str) -> tuple[Callable[..., Any], int]:
        count = self._most
        while True:
            compiled = self._program.lower(*arguments(count)).compile()
            needed = _bytes_of(compiled)
            if needed <= self._max_memory:
                return compiled, count
            if count == 1:
                check_memory(f"{what} takes", needed, self._max_memory)
            # Memory grows with the number of frames, so one more try is mostly enough.
            count = max(1, min(count - 1, count * self._max_memory // needed))


def _bytes_of(compiled: Any) -> int:
    """Bytes that a compiled program takes beside its arguments, 0 where it does not say."""
    analysis = compiled.memory_analysis()
    if analysis is None:
        return 0
    return int(analysis.temp_size_in_bytes + analysis.output_size_in_bytes)
