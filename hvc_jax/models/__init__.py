"""Networks, and the one wiring that joins them."""
