"""Edge-collapse simplification that keeps original vertices, left-right symmetry and UV seams.

Half-edge collapses (Garland and Heckbert, SIGGRAPH 1997, with the end point as the only
candidate): vertex u moves onto its neighbour v. Since no new vertex appears, blend shapes, skin
weights and labels of the surviving vertices stay exact.
"""

import heapq

import numpy as np


def triangulate(quads: np.ndarray, corners: np.ndarray, vertices: np.ndarray):
    """Returns triangles [F, 3] and their UV corners [F, 3], splitting quads at the short diagonal.

    Args:
      quads: [Q, 4] vertex ids.
      corners: [Q, 4] UV ids of the same corners.
      vertices: [V, 3] positions; lengths are rounded so that mirrored quads split alike.
    """
    p = vertices[quads]
    first = np.round(np.linalg.norm(p[:, 0] - p[:, 2], axis=-1), 5)
    second = np.round(np.linalg.norm(p[:, 1] - p[:, 3], axis=-1), 5)
    a = np.where((first <= second)[:, None], [[0, 1, 2]], [[0, 1, 3]])
    b = np.where((first <= second)[:, None], [[0, 2, 3]], [[1, 2, 3]])
    take = lambda x, i: np.take_along_axis(x, i, axis=1)  # noqa: E731
    return (
        np.concatenate([take(quads, a), take(quads, b)]),
        np.concatenate([take(corners, a), take(corners, b)]),
    )


class _Mesh:
    """Triangles with vertex-to-triangle links, error quadrics and the collapse operation."""

    def __init__(self, vertices, faces, corners, importance):
        self.vertices = vertices
        self.faces = [list(map(int, f)) for f in faces]
        self.corners = [list(map(int, c)) for c in corners]
        self.importance = importance
        self.alive = [True] * len(self.faces)
        self.links: list[set[int]] = [set() for _ in vertices]
        self.quadrics = np.zeros((len(vertices), 4, 4))
        for t, f in enumerate(self.faces):
            n, area = self._normal(f)
            plane = np.append(n, -n @ vertices[f[0]])
            for v in f:
                self.links[v].add(t)
                self.quadrics[v] += area * np.outer(plane, plane)
        self.stamp = np.zeros(len(vertices), int)

    def _normal(self, f):
        a, b, c = self.vertices[f]
        n = np.cross(b - a, c - a)
        length = np.linalg.norm(n)
        return n / max(length, 1e-20), length / 2

    def neighbours(self, u):
        return {w for t in self.links[u] for w in self.faces[t]} - {u}

    def cost(self, u, v):
        q = self.quadrics[u] + self.quadrics[v]
        x = np.append(self.vertices[v], 1.0)
        length = np.linalg.norm(self.vertices[u] - self.vertices[v])
        # The second term keeps flat regions evenly meshed, so that triangles stay similar in size.
        return (x @ q @ x + 2e-3 * length**4) * self.importance[u]

    def valid(self, u, v):
        """Whether u may move onto v: manifold link, no flipped triangle, UV chart intact."""
        shared = self.links[u] & self.links[v]
        if len(shared) != 2:
            return False
        if len(self.neighbours(u) & self.neighbours(v)) != 2:
            return False
        moved = {}
        for t in shared:
            f, c = self.faces[t], self.corners[t]
            moved[c[f.index(u)]] = c[f.index(v)]
        for t in self.links[u] - shared:
            f, c = self.faces[t], self.corners[t]
            if c[f.index(u)] not in moved:
                return False
            n0, _ = self._normal(f)
            g = [v if w == u else w for w in f]
            n1, area = self._normal(g)
            longest = max(
                np.sum((self.vertices[g[i]] - self.vertices[g[i - 1]]) ** 2) for i in range(3)
            )
            if n0 @ n1 < 0.5 or area < 0.04 * longest:
                return False
        return True

    def collapse(self, u, v):
        shared = self.links[u] & self.links[v]
        moved = {}
        for t in shared:
            f, c = self.faces[t], self.corners[t]
            moved[c[f.index(u)]] = c[f.index(v)]
            self.alive[t] = False
            for w in f:
                self.links[w].discard(t)
        for t in list(self.links[u]):
            f, c = self.faces[t], self.corners[t]
            i = f.index(u)
            f[i], c[i] = v, moved[c[i]]
            self.links[v].add(t)
        self.links[u] = set()
        self.quadrics[v] += self.quadrics[u]
        self.stamp[u] += 1
        for w in {v} | self.neighbours(v):
            self.stamp[w] += 1


def decimate(
    vertices: np.ndarray,
    faces: np.ndarray,
    corners: np.ndarray,
    mirror: np.ndarray,
    importance: np.ndarray,
    target: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns kept vertex ids [N], faces [F, 3] (new ids) and UV corners [F, 3] (old UV ids).

    Args:
      vertices: [V, 3] positions in metres.
      faces: [T, 3] vertex ids.
      corners: [T, 3] UV ids.
      mirror: [V] id of each vertex's mirror image (itself on the middle plane).
      importance: [V] factor on the cost of removing a vertex.
      target: number of vertices to stop at.
    """
    mesh = _Mesh(vertices, faces, corners, importance)
    used = {int(v) for v in np.unique(faces)}
    count = len(used)
    heap = []

    def push(u):
        for v in mesh.neighbours(u):
            if mirror[u] == u and mirror[v] != v:
                continue
            heapq.heappush(heap, (mesh.cost(u, v), u, v, mesh.stamp[u], mesh.stamp[v]))

    for u in used:
        push(u)
    while count > target and heap:
        _, u, v, stamp_u, stamp_v = heapq.heappop(heap)
        if mesh.stamp[u] != stamp_u or mesh.stamp[v] != stamp_v or not mesh.valid(u, v):
            continue
        twin, twin_v = int(mirror[u]), int(mirror[v])
        if twin != u:
            near = mesh.neighbours(u) | {u}
            # Pairs that touch across the middle would invalidate each other.
            if twin in near or twin_v not in mesh.neighbours(twin) or not mesh.valid(twin, twin_v):
                continue
        pairs = [(u, v)] if twin == u else [(u, v), (twin, twin_v)]
        for a, b in pairs:
            if not mesh.valid(a, b):
                continue
            mesh.collapse(a, b)
            count -= 1
            for w in {b} | mesh.neighbours(b):
                push(w)
    alive = np.array(mesh.alive)
    out = np.array(mesh.faces)[alive]
    kept = np.unique(out)
    renumber = np.full(len(vertices), -1)
    renumber[kept] = np.arange(len(kept))
    return kept, renumber[out], np.array(mesh.corners)[alive]
