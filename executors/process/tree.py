"""All that a process started, for killing it: the choice of how this system can know."""

from __future__ import annotations

import sys

if sys.platform == "linux":
    from executors.process.tree_linux import ProcessTree, TreeKeeper
else:
    from executors.process.tree_group import ProcessTree, TreeKeeper

__all__ = ["ProcessTree", "TreeKeeper"]
