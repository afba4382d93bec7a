"""Bodies of the people in a clip, with confidence."""
