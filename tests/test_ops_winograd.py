import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hvc_jax.ops import winograd
from hvc_jax.ops.compile import fast_jit
from hvc_jax.ops.convolution import convolve

# Root mean square errors relative to the results', as the module states them.
BOUNDS = {2: 5e-7, 4: 3e-6}


def shifted(x: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    """The picture moved by each of a 3x3 kernel's entries."""
    height, width = x.shape[1:3]
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return {(k, m): x[:, k : k + height, m : m + width] for k in range(3) for m in range(3)}


def error(found: jax.Array, expected: np.ndarray) -> float:
    difference = np.asarray(found, np.float64) - expected
    return float(np.sqrt(np.mean(difference**2) / np.mean(expected**2)))


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("shape", [(2, 13, 9, 16, 48), (1, 8, 5, 224, 64)])
def test_values_and_gradients_within_the_stated_error(tile: int, shape: tuple[int, ...]) -> None:
    batch, height, width, inputs, outputs = shape
    rng = np.random.default_rng(0)
    x, g = (rng.normal(size=(batch, height, width, c)) for c in (inputs, outputs))
    kernel = rng.normal(size=(3, 3, inputs, outputs)) / np.sqrt(9 * inputs)
    x, g, kernel = (a.astype(np.float32).astype(np.float64) for a in (x, g, kernel))

    @fast_jit
    def run(x: jax.Array, kernel: jax.Array, g: jax.Array) -> tuple[jax.Array, ...]:
        y, saved = winograd.convolve(x, kernel, tile)
        return y, *winograd.gradients(saved, g)

    y, to_x, to_kernel = run(*(jnp.asarray(a, jnp.float32) for a in (x, kernel, g)))
    moved = shifted(x)
    assert error(y, sum(moved[k] @ kernel[k] for k in moved)) < BOUNDS[tile]
    back = shifted(g)
    expected = sum(back[k, m] @ kernel[2 - k, 2 - m].T for k, m in back)
    assert error(to_x, expected) < BOUNDS[tile]
    expected = np.stack([np.einsum("bhwi,bhwo->io", moved[k], g) for k in moved])
    assert error(to_kernel, expected.reshape(kernel.shape)) < BOUNDS[tile]


def test_used_for_gradients_of_many_float32_channels_alone() -> None:
    def transformed(channels: int, dtype: str, differentiate: bool) -> bool:
        shapes = [(4, 16, 16, channels), (3, 3, channels, channels), (channels,)]
        arrays = [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]
        function = jax.grad(lambda *a: convolve(*a).sum()) if differentiate else convolve
        return "conv_general_dilated" not in str(jax.make_jaxpr(function)(*arrays))

    assert transformed(48, "float32", True)
    assert not transformed(48, "float32", False)
    assert not transformed(48, "bfloat16", True)
    assert not transformed(40, "float32", True)
