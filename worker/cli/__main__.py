"""`python -m worker.cli`: the command `dialout`."""

from worker.cli.main import main

main()
