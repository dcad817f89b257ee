"""The matrix: shared suites run in many environments at once, and what came of it."""
