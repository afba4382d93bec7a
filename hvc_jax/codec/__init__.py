"""The codec: frames to bytes and back, and what an encoder chooses."""
