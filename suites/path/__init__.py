"""Paths: every name, every spelling, every refusal."""
