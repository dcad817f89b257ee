"""What the tests of this folder share."""

from suites.asking import _found, once

__all__ = ["_found", "once"]
