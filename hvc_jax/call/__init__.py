"""A call: a person's picture and voice over UDP, one packet a frame."""
