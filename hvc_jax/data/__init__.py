"""Clips, synthetic people, datasets and the input pipeline."""
