"""Metrics, anchors, rate-distortion reports."""
