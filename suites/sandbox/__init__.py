"""Intents, seen from outside: what one forbids does not happen, and nothing else is different."""
