"""Pure functions on arrays: quantisation, rotations, warping, colour."""
