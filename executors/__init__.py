"""The executor: runs processes and touches files on its machine for a client elsewhere."""

__version__ = "0.1.0"
