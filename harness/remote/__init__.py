"""The harness's side of the encrypted relay: an executor that has dialled out, reached by its id.

=============  ================================================================================
:mod:`options` what a user chooses; needs no library
:mod:`registry` a bundle for each connection
:mod:`link`    one stream on a WebSocket of its own, as a client's link
:mod:`opener`  bundle, WebSocket and handshake, and whether the executor is the same as before
=============  ================================================================================

All but the options needs the extra `relay`.
"""
