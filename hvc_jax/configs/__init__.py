"""Training configurations: `get_config(argument)` of one file is one model."""
