"""`python -m d4a.curator`."""

from .cli import main

main()
