"""Rendered people with known bodies, flow and labels."""
