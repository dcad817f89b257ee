"""Loads the plugin from a checkout; an installed one is found by its entry point."""

from __future__ import annotations

from importlib.metadata import entry_points

if not entry_points(group="pytest11", name="crossexec"):
    pytest_plugins = ["fixtures.plugin"]
