"""Why a reply of ours may differ from the released executor's; docs/compatibility.md tells each case."""

from __future__ import annotations

import enum


class Difference(enum.Enum):
    """The kind of a difference."""

    LENIENT = "ours takes what the released executor refuses, and the meaning is plain"
    STRICTER = "ours refuses what cannot mean anything on the system"
    BETTER = "the released executor does something that is of no use to the caller"
    CODE = "both refuse, with another code"


LENIENT = Difference.LENIENT
STRICTER = Difference.STRICTER
BETTER = Difference.BETTER
