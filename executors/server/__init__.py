"""One peer's connection, what it may call, and who answers."""
