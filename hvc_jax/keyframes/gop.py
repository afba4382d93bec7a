"""Which key pictures are predicted from which: the GOP structures of a coded sequence.

low delay   0 -> 1 -> 2 -> 3 ...           from past pictures only, in the order of display
reordered   0, 8, 4, 2, 1, 3, 6, 5, 7 ...  from the nearest past and future ones by halving
"""

from typing import NamedTuple


class Structure(NamedTuple):
    """A GOP structure."""

    low_delay: bool  # whether pictures are predicted from past ones only
    size: int  # pictures a GOP; a power of two where pictures are reordered
    # QP of a predicted picture less that of the intra picture: by level of the hierarchy where
    # reordered (the last holds for all deeper ones), else by position in the GOP
    qp_offsets: tuple[int, ...]
    references: int  # how many pictures a picture is predicted from, at most
    # whether later pictures may decide how a picture is coded (libvvenc's temporal filter and block
    # importance). Without it a longer sequence begins with the very payloads of a shorter one that
    # ends with a GOP, so keys can be appended by coding the sequence again; it costs 2 % more bytes
    # at equal PSNR.
    looks_ahead: bool


class Entry(NamedTuple):
    """One picture of a GOP: display position 1..size, level, and references as positions."""

    position: int
    level: int
    forward: list[int]
    backward: list[int]


LOW_DELAY = Structure(True, size=4, qp_offsets=(5,), references=3, looks_ahead=False)
REORDERED = Structure(False, size=4, qp_offsets=(4, 6, 7), references=2, looks_ahead=True)
"""The structures whose parameter sets are never sent, whatever the QP offsets are."""


def coded_order(count: int, structure: Structure) -> list[int]:
    """Returns the display index of each of `count` pictures, in coded order."""
    order = [0]
    positions = [entry.position for entry in entries(structure)]
    for start in range(0, count - 1, structure.size):
        order += [start + p for p in positions if start + p < count]
    return order


def vvenc_parameters(structure: Structure) -> str:
    """Returns the structure as libvvenc's options, colons between them."""
    options = [f"gopsize={structure.size}", "intraqpoffset=0"]
    if structure.low_delay:
        options += ["picreordering=0", "decodingrefreshtype=none"]
    if not structure.looks_ahead:
        options += ["mctf=0", "bim=0"]
    for number, entry in enumerate(entries(structure), 1):
        offset = structure.qp_offsets[min(entry.level, len(structure.qp_offsets) - 1)]
        layer = 0 if structure.low_delay else entry.level
        lists = [
            f"{len(chosen)} {len(chosen)} " + " ".join(str(entry.position - at) for at in chosen)
            for chosen in (entry.forward, entry.backward)
        ]
        # slice type, position, QP offset, its model's offset and scale, chroma offsets (2),
        # lambda factor, deblocking offsets (6), temporal layer, then the two reference lists
        fields = f"B {entry.position} {offset} 0 0 0 0 1 0 0 0 0 0 0 {layer} {' '.join(lists)}"
        options.append(f"Frame{number}={fields}")
    return ":".join(options)


def entries(structure: Structure) -> list[Entry]:
    """Returns the pictures of a GOP in coded order."""
    size, count = structure.size, structure.references
    if structure.low_delay:
        return [
            Entry(
                at,
                at - 1,
                [at - back for back in range(1, count + 1)],
                [at - back for back in range(1, count + 1)],
            )
            for at in range(1, size + 1)
        ]
    entries = [Entry(size, 0, [0, -size][:count], [0, -size][:count])]
    known = [0, size]

    def halve(first: int, last: int, level: int) -> None:
        middle = (first + last) // 2
        if middle == first:
            return
        past = sorted((at for at in known if at < middle), reverse=True)
        future = sorted(at for at in known if at > middle)
        entries.append(Entry(middle, level, (past + future)[:count], (future + past)[:count]))
        known.append(middle)
        halve(first, middle, level + 1)
        halve(middle, last, level + 1)

    halve(0, size, 1)
    return entries
