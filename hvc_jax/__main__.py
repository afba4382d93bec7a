"""`python -m hvc_jax` is the `hvc` program."""

import sys

from hvc_jax.cli.main import main

sys.exit(main())
