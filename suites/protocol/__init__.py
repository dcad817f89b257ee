"""The protocol itself: handshake, errors, order, load."""
