"""`python -m fettle_operator`."""

from fettle_operator.main import main

main()
