import jax
import jax.numpy as jnp
import numpy as np
import optax
from training_stub import stub_config

from hvc_jax.training.state import optimizers


def test_quantisation_steps_learn_faster_than_weights() -> None:
    """Adam's update is the learning rate times a sign; that of log_step is a factor larger."""
    params = {"log_step": jnp.zeros(3), "dense": {"kernel": jnp.zeros((2, 2)), "bias": jnp.ones(2)}}
    gradients = jax.tree.map(lambda x: jnp.full_like(x, 0.1), params)
    config = stub_config(optim__schedule="constant", optim__lr=1e-3, optim__step_lr_factor=7.0)
    optimizer, _ = optimizers(config)
    state = optimizer.init(params)
    for _ in range(3):
        updates, state = optimizer.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
    for leaf in jax.tree.leaves(updates["dense"]):
        np.testing.assert_allclose(leaf, -1e-3, rtol=1e-4)
    np.testing.assert_allclose(updates["log_step"], -7e-3, rtol=1e-4)
