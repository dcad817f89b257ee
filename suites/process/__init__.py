"""Processes: start, output, input, signals, the end."""
