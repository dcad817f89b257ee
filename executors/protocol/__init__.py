"""The wire protocol: messages, methods, errors and paths. No I/O, no calls of the operating system."""
