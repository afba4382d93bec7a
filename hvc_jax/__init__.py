"""An open codec for video of people, in JAX/Flax."""

__version__ = "0.1.0"
