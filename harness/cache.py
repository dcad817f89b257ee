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

    :raises FileNotFoundError: the user has no home directory, and nothing else is said.
    """
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given).absolute()
    try:
        folder = platformdirs.user_cache_path("crossexec")
    except RuntimeError:
        folder = Path("~")
    # What becomes of "~" for a user without a home depends on the version of platformdirs.
    if not folder.is_absolute():
        raise FileNotFoundError(
            f"this user has no home directory, so there is no place for a cache: name a folder by {VARIABLE}"
        )
    return folder
