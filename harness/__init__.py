"""The side that drives executors, on the tester's machine."""
