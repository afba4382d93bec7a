import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hvc_jax.ops.compile import fast_jit
from hvc_jax.ops.convolution import convolve


def slow_convolve(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """A shifted copy of the picture for every entry of the kernel."""
    side, (height, width) = len(kernel), x.shape[1:3]
    border = side // 2
    x = np.pad(x, ((0, 0), (border, border), (border, border), (0, 0)))
    taps = [(k, m) for k in range(side) for m in range(side)]
    return bias + sum(x[:, k : k + height, m : m + width] @ kernel[k, m] for k, m in taps)


# Each way to the gradients: a product, exchanged roles, halves, the compiler's own, and Winograd's.
CASES = [(1, 6, 5, 8), (3, 24, 4, 8), (5, 20, 3, 6), (3, 5, 4, 8), (3, 20, 4, 40), (3, 5, 18, 7)]
CASES += [(3, 48, 50, 64)]


@pytest.mark.parametrize(("side", "inputs", "outputs", "rows"), CASES)
def test_values_and_gradients(side: int, inputs: int, outputs: int, rows: int) -> None:
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=(2, rows, 7, inputs)), rng.normal(size=(2, rows, 7, outputs))
    kernel, bias = rng.normal(size=(side, side, inputs, outputs)), rng.normal(size=outputs)
    arrays = [jnp.asarray(a, jnp.float32) for a in (x, kernel, bias)]
    out = fast_jit(convolve)(*arrays)
    np.testing.assert_allclose(out, slow_convolve(x, kernel, bias), rtol=1e-4, atol=1e-4)
    gradients = fast_jit(lambda arrays, g: jax.vjp(convolve, *arrays)[1](g))
    to_x, to_kernel, to_bias = gradients(arrays, jnp.asarray(g, jnp.float32))
    # The convolution is linear in each argument, so <g, convolve(change)> = <gradient, change>.
    change = rng.normal(size=x.shape)
    np.testing.assert_allclose(
        np.vdot(to_x, change), np.vdot(g, slow_convolve(change, kernel, 0)), rtol=1e-4
    )
    border = side // 2
    padded = np.pad(x, ((0, 0), (border, border), (border, border), (0, 0)))
    for k in range(side):
        for m in range(side):
            expected = np.einsum("bhwi,bhwo->io", padded[:, k : k + rows, m : m + 7], g)
            np.testing.assert_allclose(to_kernel[k, m], expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(to_bias, g.sum((0, 1, 2)), rtol=1e-4, atol=1e-4)
