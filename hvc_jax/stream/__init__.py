"""The bit stream: schema, entropy coding, units and container, without jax."""
