"""Tests of the encrypted relay."""
