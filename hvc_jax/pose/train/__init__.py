"""Training of the pose networks."""
