"""The .hvc stream: schema, units, vectors, editing. Imports no jax."""
