"""Transports: each carries whole messages between two sides and nothing else."""
