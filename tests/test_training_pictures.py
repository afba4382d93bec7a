import jax
import numpy as np
import pytest
from training_stub import StubModel, stub_batches

from hvc_jax.ops.warp import identity_grid
from hvc_jax.training.pictures import make_predict, motion_pictures
from hvc_jax.training.step import unit_range


def test_rest_is_white_and_opposite_directions_have_opposite_colours() -> None:
    still = np.asarray(identity_grid(2, 3))
    shift = np.zeros((2, 3, 2))
    shift[0, 0], shift[0, 1] = (0.5, 0), (-0.5, 0)
    picture = motion_pictures({"grid": (still + shift)[None]})[0]
    assert np.all(picture[1] == 1)
    np.testing.assert_allclose(picture[0, 0] + picture[0, 1], 1, atol=0.01)


def test_what_stands_still_is_black() -> None:
    background = np.array([1.0, 0.25]).reshape(1, 1, 2, 1)
    picture = motion_pictures({"background": background})
    np.testing.assert_allclose(picture[0, 0], [[0, 0, 0], [0.75] * 3])
    assert motion_pictures({"warped": background}) is None


@pytest.mark.parametrize("motion", ["grid", "background", None])
def test_columns_of_the_grid(motion: str | None) -> None:
    class Moving(StubModel):
        def __call__(self, batch: dict, train: bool) -> dict:
            outputs = super().__call__(batch, train)
            share = outputs["frame"][:, ::4, ::4]
            fields = {"grid": share[..., :2], "background": share[..., :1]}
            aux = {name: field for name, field in fields.items() if name == motion}
            return outputs | {"aux": {"warped": outputs["aux"]["warped"]} | aux}

    batch = next(stub_batches(6, 0, 0))
    rngs = {"params": jax.random.key(0), "noise": jax.random.key(1)}
    model = Moving()
    params = model.init(rngs, unit_range(batch), train=False)["params"]
    picture = make_predict(model)(params, batch)
    columns = np.split(picture, picture.shape[1] // 16, 1)
    assert len(columns) == (5 if motion else 4)
    np.testing.assert_array_equal(columns[0], np.concatenate(batch["key"][:4]))
    np.testing.assert_array_equal(columns[1], np.concatenate(batch["target"][:4]))
    frame = model.apply({"params": params}, unit_range(batch), train=False)["frame"][:4]
    expected = np.concatenate(np.asarray(frame)) * 255
    np.testing.assert_allclose(columns[-1], expected, atol=0.6)
