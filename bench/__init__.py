"""Benchmarks: one executor against its targets, or several against each other."""
