"""Losses, train step, loop, checkpoints, parallelism."""
