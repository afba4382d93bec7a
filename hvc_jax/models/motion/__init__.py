"""Motion models: how features of a key picture are aligned with a frame."""
