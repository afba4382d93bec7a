"""Rasteriser against a slow reference, watertightness, gradients and the motion field."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hvc_jax.body import assets, camera, coverage, lbs, params, raster


@jax.jit
def posed(body, vectors):
    return lbs.posed_vertices(body, params.unpack(vectors))[0]


def reference(screen, faces, height, width):
    """Slow float64 rasteriser: ids [H, W], depth [H, W], smallest edge margin [H, W]."""
    xs = (screen[:, 0] + 1) * width / 2 - 0.5
    ys = (screen[:, 1] + 1) * height / 2 - 0.5
    zs = screen[:, 2]
    py, px = np.mgrid[:height, :width].astype(np.float64)
    best = np.full((height, width), np.inf)
    ids = np.full((height, width), -1)
    margin = np.full((height, width), np.inf)
    for t, face in enumerate(faces):
        rx, ry = xs[face][:, None, None] - px, ys[face][:, None, None] - py
        e = np.stack([rx[j] * ry[k] - rx[k] * ry[j] for j, k in ((1, 2), (2, 0), (0, 1))])
        total = e.sum(0)
        if np.all(np.abs(total) < 1e-12):
            continue
        b = e / np.where(total == 0, 1, total)
        z = (b * zs[face][:, None, None]).sum(0)
        inside = np.zeros_like(total, bool) | (total != 0)
        turn = np.sign(total)
        for i, (j, k) in enumerate(((1, 2), (2, 0), (0, 1))):
            dx = (xs[face[k]] - xs[face[j]]) * turn
            dy = (ys[face[k]] - ys[face[j]]) * turn
            owns = (dy < 0) | ((dy == 0) & (dx > 0))
            inside &= (b[i] > 0) | ((b[i] == 0) & owns)
        margin = np.minimum(margin, np.abs(b).min(0))
        nearer = inside & (z < best)
        best, ids = np.where(nearer, z, best), np.where(nearer, t, ids)
    return ids, best, margin


def soup(rng, count, size):
    """Unconnected triangles of about `size`, partly outside the picture."""
    center = rng.uniform(-1.2, 1.2, (count, 1, 3))
    corners = center + rng.normal(0, size, (count, 3, 3))
    return corners.reshape(-1, 3).astype(np.float32), np.arange(3 * count).reshape(-1, 3)


@pytest.mark.parametrize("size", [0.02, 0.3, 4.0])
def test_equals_reference_for_triangles_of_any_size(size):
    rng = np.random.default_rng(1)
    screen, faces = soup(rng, 60, size)
    ids, depth, margin = reference(screen.astype(np.float64), faces, 24, 40)
    got = raster.rasterize(jnp.asarray(screen[None]), jnp.asarray(faces, jnp.int32), 24, 40)
    sure = margin > 1e-4
    assert sure.mean() > 0.8
    np.testing.assert_array_equal(np.asarray(got.triangle[0])[sure], ids[sure])
    seen = sure & (ids >= 0)
    np.testing.assert_allclose(np.asarray(got.depth[0])[seen], depth[seen], atol=2e-4)
    np.testing.assert_allclose(np.asarray(got.barycentric[0].sum(-1))[seen], 1, atol=1e-5)


def test_shared_edges_are_covered_exactly_once():
    # A jittered sheet that fills the picture, then one whose corners lie exactly on pixel centres:
    # counted over single triangles, every pixel centre is covered exactly once.
    size, cells = 16, 8
    rng = np.random.default_rng(3)
    axis = np.linspace(-1, 1, cells + 1)
    grid = np.stack(np.meshgrid(axis, axis), -1)
    grid[1:-1, 1:-1] += rng.uniform(-0.08, 0.08, (cells - 1, cells - 1, 2))
    on_centres = (np.round((grid + 1) * size / 2 - 0.5) + 0.5) * 2 / size - 1
    on_centres[[0, -1]], on_centres[:, [0, -1]] = grid[[0, -1]], grid[:, [0, -1]]
    index = np.arange((cells + 1) ** 2).reshape(cells + 1, cells + 1)
    a, b, c, d = (
        x.ravel() for x in (index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:])
    )
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    for points in (grid, on_centres):
        flat = np.concatenate([points.reshape(-1, 2), np.zeros((index.size, 1))], -1)
        screen = jnp.asarray(flat[None], jnp.float32)
        count = np.zeros((size, size), int)
        for face in faces:
            alone = coverage.nearest_triangle(
                screen, jnp.asarray(face[None], jnp.int32), size, size
            )
            count += np.asarray(alone[0]) >= 0
        np.testing.assert_array_equal(count, 1)


def test_small_chunks_and_batches_give_the_same_picture():
    rng = np.random.default_rng(4)
    screens, faces = zip(*[soup(rng, 50, s) for s in (0.05, 0.5, 2.0)], strict=True)
    screen, face = jnp.asarray(np.stack(screens)), jnp.asarray(faces[0], jnp.int32)
    together = coverage.nearest_triangle(screen, face, 20, 20)
    for k in range(3):
        alone = coverage.nearest_triangle(screen[k : k + 1], face, 20, 20, chunk=64)
        np.testing.assert_array_equal(together[k], alone[0])


def test_bad_vertices_are_skipped():
    screen = jnp.array([[[-1, -1, 0], [1, -1, 0], [0, 1, 0], [jnp.nan, 0, 0], [jnp.inf, 0, 1]]])
    faces = jnp.array([[3, 0, 1], [4, 0, 1], [0, 0, 1], [0, 1, 2]], jnp.int32)
    ids = np.asarray(coverage.nearest_triangle(screen, faces, 8, 8))
    assert set(np.unique(ids)) == {-1, 3}


def test_gradients_match_finite_differences():
    rng = np.random.default_rng(5)
    screen = jnp.asarray([[[-0.8, -0.7, 1.0], [0.9, -0.6, 2.0], [0.1, 0.8, 1.5]]], jnp.float32)
    faces = jnp.array([[0, 1, 2]], jnp.int32)
    attributes = jnp.asarray(rng.normal(size=(1, 3, 2)), jnp.float32)
    weight = jnp.asarray(rng.normal(size=(8, 8, 2)), jnp.float32)

    @jax.jit
    def loss(screen, attributes):
        fragments = raster.rasterize(screen, faces, 8, 8)
        picture = raster.interpolate(fragments, faces, attributes)[0]
        depth = jnp.where(fragments.triangle[0] >= 0, fragments.depth[0], 0.0)
        return jnp.sum(picture * weight) + jnp.sum(depth * weight[..., 0])

    gradients = jax.grad(loss, argnums=(0, 1))(screen, attributes)
    for k, (values, gradient) in enumerate(zip((screen, attributes), gradients, strict=True)):
        for index in np.ndindex(*values.shape):
            step = np.zeros(values.shape, np.float32)
            step[index] = 1e-3
            sides = [
                loss(*((values + s * step, attributes) if k == 0 else (screen, values + s * step)))
                for s in (1, -1)
            ]
            numeric = (sides[0] - sides[1]) / 2e-3
            np.testing.assert_allclose(gradient[index], numeric, rtol=0.05, atol=0.02)


def test_motion_field_of_a_shift_is_the_shift():
    body = assets.load_body()
    vector = params.identity_vector()
    vertices = posed(body, jnp.asarray(vector)[None])
    key = camera.project(vertices, jnp.array([[0.9, 0.0, 0.0]]))
    target = camera.project(vertices, jnp.array([[0.9, 0.1, 0.0]]))
    field = raster.motion_field(key, target, body.faces, 48, 48)
    mask = np.asarray(field.mask[0]) > 0
    motion = np.asarray(field.grid[0] - raster.pixel_grid(48, 48))
    assert 100 < mask.sum() < 1000
    np.testing.assert_allclose(motion[mask], np.tile([-0.09, 0.0], (mask.sum(), 1)), atol=1e-4)
    np.testing.assert_allclose(motion[~mask], 0, atol=1e-6)
    assert np.asarray(field.visible[0])[mask].mean() > 0.97
    assert (np.asarray(field.visible[0])[~mask] == 0).all()


def two_boxes(rng, turn):
    """Two closed boxes [16, 3], the second behind the first or beside it, turned about y."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])
    boxes = [corners * [0.3, 0.5, 0.2], corners * 0.25 + [0.1, 0.05, -0.9]]
    points = np.concatenate(boxes) + rng.normal(0, 0.03, (16, 3))
    cos, sin = np.cos(turn), np.sin(turn)
    points = points @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    screen = points * [0.9, -0.9, -1]
    return screen.astype(np.float32), np.concatenate([faces, faces + 8])


def front_facing(screen, faces):
    a, b, c = (screen[faces[:, k], :2] for k in range(3))
    return np.cross(b - a, c - a) < 0


def test_correspondence_and_occlusion_equal_a_slow_reference():
    rng = np.random.default_rng(6)
    key, faces = two_boxes(rng, 0.2)
    target, _ = two_boxes(rng, 0.9)
    if front_facing(key, faces).mean() > 0.5:  # counter-clockwise from outside
        faces = faces[:, ::-1]
    key, target = key.astype(np.float64), target.astype(np.float64)
    size = 40
    got = raster.motion_field(
        *(jnp.asarray(x[None], jnp.float32) for x in (key, target)),
        jnp.asarray(faces, jnp.int32), size, size, bias=0.15,
    )  # fmt: skip
    visible = faces[front_facing(target, faces)]
    ids, _, margin = reference(target, visible, size, size)
    sure = margin > 1e-4
    assert ((np.asarray(got.mask[0]) > 0) == (ids >= 0))[sure].all()
    pixel = (np.arange(size) + 0.5) * 2 / size - 1
    agree = []
    for row, column in np.argwhere((ids >= 0) & sure):
        face = visible[ids[row, column]]
        here = np.linalg.solve(
            np.vstack([target[face, :2].T, np.ones(3)]), [pixel[column], pixel[row], 1]
        )
        there = here @ key[face]
        np.testing.assert_allclose(got.grid[0, row, column], there[:2], atol=2e-5)
        # The nearest surface of the key boxes at exactly that point.
        weights = [
            np.linalg.solve(np.vstack([key[f, :2].T, np.ones(3)]), [*there[:2], 1]) for f in faces
        ]
        front = min(w @ key[f, 2] for w, f in zip(weights, faces, strict=True) if w.min() >= -1e-9)
        facing = front_facing(key, face[None])[0]
        agree.append((facing and there[2] - front < 0.15, float(got.visible[0, row, column])))
    truth, shown = np.array(agree, float).T
    assert 0.2 < truth.mean() < 0.9, "the case should hide a part"
    certain = (shown < 0.01) | (shown > 0.99)
    assert certain.mean() > 0.6, "soft only near contours and steep sides"
    assert (truth == (shown > 0.5))[certain].mean() > 0.98
    assert (truth == (shown > 0.5)).mean() > 0.9


def test_motion_field_has_the_gradient_of_its_barycentrics():
    rng = np.random.default_rng(7)
    key, faces = two_boxes(rng, 0.2)
    target, _ = two_boxes(rng, 0.4)
    faces = jnp.asarray(faces[:, ::-1], jnp.int32)
    weight = jnp.asarray(rng.normal(size=(2, 24, 24, 2)), jnp.float32)
    screens = [jnp.asarray(np.stack([x, x]), jnp.float32) for x in (key, target)]

    @jax.jit
    def loss(k, t):
        field = raster.motion_field(k, t, faces, 24, 24)
        return jnp.sum(field.grid * weight * field.mask[..., None])

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))(*screens)
    assert float(jnp.abs(gradient[0]).max()) > 0.1
    for which, at in ((0, (1, 5, 0)), (0, (0, 2, 1)), (1, (0, 7, 0)), (1, (1, 3, 1))):
        step = jnp.zeros_like(screens[which]).at[at].set(2e-4)
        sides = [
            loss(*(x + sign * step if k == which else x for k, x in enumerate(screens)))
            for sign in (1, -1)
        ]
        numeric = float(sides[0] - sides[1]) / 4e-4
        np.testing.assert_allclose(gradient[which][at], numeric, rtol=0.05, atol=0.05)


def test_normal_map_of_a_ball_is_the_direction_from_its_centre():
    rows, columns = 24, 48
    up, round_ = np.meshgrid(
        np.linspace(0, np.pi, rows), np.linspace(0, 2 * np.pi, columns, endpoint=False),
        indexing="ij",
    )  # fmt: skip
    ball = np.stack([np.sin(up) * np.sin(round_), np.cos(up), np.sin(up) * np.cos(round_)], -1)
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b = index[:-1], np.roll(index, -1, 1)[:-1]
    c, d = index[1:], np.roll(index, -1, 1)[1:]
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, c, b), (b, c, d))])
    vertices = jnp.asarray(ball.reshape(1, -1, 3), jnp.float32)
    faces = jnp.asarray(faces, jnp.int32)
    screen = camera.project(vertices, jnp.array([[0.9, 0.0, 0.0]]))
    fragments = raster.rasterize(screen, faces, 48, 48)
    normals = raster.interpolate(fragments, faces, raster.vertex_normals(vertices, faces))[0]
    uv = np.asarray(raster.pixel_grid(48, 48)) / 0.9
    inside = (uv**2).sum(-1) < 0.9
    expected = np.stack([uv[..., 0], -uv[..., 1], np.sqrt(np.clip(1 - (uv**2).sum(-1), 0, 1))], -1)
    np.testing.assert_allclose(np.asarray(normals)[inside], expected[inside], atol=0.03)
    assert (np.asarray(normals)[(uv**2).sum(-1) > 1.01] == 0).all()


def test_the_back_is_not_visible_in_a_front_view():
    body = assets.load_body()
    vectors = np.stack([params.identity_vector()] * 2)
    vectors[1, params.VECTOR_INDEX["pelvis_y"]] = np.pi
    state = params.unpack(jnp.asarray(vectors))
    screen = camera.project(posed(body, jnp.asarray(vectors)), state.camera)
    field = raster.motion_field(screen[:1], screen[1:], body.faces, 48, 48)
    mask = np.asarray(field.mask[0]) > 0
    assert np.asarray(field.visible[0])[mask].mean() < 0.08


def test_vertex_normals_of_the_open_body_point_outwards():
    body = assets.load_body()
    normals = np.asarray(raster.vertex_normals(body.v_template, body.faces))
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-3)
    torso = np.asarray(body.part_ids) == body.part_names.index("torso")
    front = torso & (np.asarray(body.v_template)[:, 2] > 0.08)
    assert (normals[front, 2] > 0).mean() > 0.95
