"""Tests of the Wine environment, with a real Wine."""
