"""Entropy models and coders; coding tables are integers."""
