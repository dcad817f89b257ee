"""The files of this machine: plain functions that block, on absolute native paths.

Paths are ``str`` as :meth:`executors.protocol.path_uri.PathUri.to_native` gives them; the
functions raise :class:`OSError`. What differs between operating systems is in ``posix.py`` (with
``linux.py`` and ``macos.py``) and ``windows.py``, which offer the same names through ``system``.

The interpreter's file system encoding has to be UTF-8. On Linux, under a locale that has another,
start it with ``-X utf8``.
"""
