"""Tests that every environment must pass; ``README.md`` here tells how to add one."""
