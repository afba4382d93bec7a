"""One module per command of the `hvc` program; each has `add_parser(subparsers)`."""
