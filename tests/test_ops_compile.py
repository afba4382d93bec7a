import stat

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.ops.compile import fast_jit, keep_compiled_programs


def test_a_product_with_a_broadcast_operand_is_right() -> None:
    # A library for matrix products once read past such an operand. The first sizes are those of
    # expression directions that are all zero, where XLA leaves a broadcast scalar.
    x = jax.random.normal(jax.random.key(0), (8, 10))
    product = fast_jit(lambda x, y: x @ jnp.broadcast_to(y, (10, 165)))
    for scalar in (0.0, 0.5):
        expected = np.broadcast_to(scalar * np.asarray(x).sum(1)[:, None], (8, 165))
        np.testing.assert_allclose(product(x, jnp.float32(scalar)), expected, atol=1e-5)
    w = jax.random.normal(jax.random.key(1), (10, 165))
    row = fast_jit(lambda r, w: jnp.broadcast_to(r, (8, 10)) @ w)(x[:1], w)
    np.testing.assert_allclose(row, np.repeat(np.asarray(x[:1]) @ np.asarray(w), 8, 0), atol=1e-5)


def test_programs_are_kept_where_nobody_else_can_write(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "hvc_jax" / "programs"
    before = jax.config.jax_compilation_cache_dir
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        keep_compiled_programs()
        assert jax.config.jax_compilation_cache_dir == str(folder)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "planted").write_text("x")
        folder.chmod(0o777)
        jax.config.update("jax_compilation_cache_dir", None)
        keep_compiled_programs()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and not list(folder.iterdir())
        folder.rmdir()
        folder.symlink_to(tmp_path)
        jax.config.update("jax_compilation_cache_dir", None)
        keep_compiled_programs()
        assert jax.config.jax_compilation_cache_dir is None
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
