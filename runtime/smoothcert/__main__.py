"""`python -m smoothcert`."""

from .cli import main

main()
