"""What the Docker environment says when it cannot go on."""

from __future__ import annotations


class DockerFailed(Exception):
    """The text says what was tried, what was found and the remedy."""


class NotStarted(DockerFailed):
    """A container is there, and the program that it should run does not start."""
