"""What a caller wants to be kept from, and how that is enforced here."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from executors.process.base import Backend
    from executors.sandbox.choice import Sandboxes

# Imported when they are called: a part of this package is run inside of sandboxes, where that takes its time.


def make_sandboxes(processes: Backend) -> Sandboxes:
    """Returns the sandboxes of this machine; none has proved itself yet.

    :param processes: starts the canaries, since it collects the ends of all processes.
    """
    from executors.sandbox.canary import prove
    from executors.sandbox.choice import Sandboxes
    from executors.sandbox.system import backends

    return Sandboxes(backends(), partial(prove, processes=processes))
