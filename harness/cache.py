"""Where what is made once for all runs of a user is kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import platformdirs

VARIABLE: Final = "CROSSEXEC_CACHE"


def cache_folder() -> Path:
    """Returns the folder: the variable CROSSEXEC_CACHE, else the user's cache folder for crossexec.

    It need not exist yet. Everything in it can be made again: it may be deleted while nothing runs.
    """
    given = os.environ.get(VARIABLE)
    return Path(given).absolute() if given else platformdirs.user_cache_path("crossexec")
