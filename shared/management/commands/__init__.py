"""The administration commands of `python -m shared`, one file each, with `add_arguments(subparsers)` and `run`."""
