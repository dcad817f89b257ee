"""The files of this machine: plain functions that block, on absolute native paths.

Paths are ``str`` as :meth:`executors.protocol.path_uri.PathUri.to_native` gives them; the
functions raise :class:`OSError`. What differs between operating systems is in ``posix.py``
(with ``linux.py`` and ``macos.py``) and ``windows.py``, which offer the same names through
``system``.
"""
