"""The service through which executors behind firewalls are found and reached: registry and rendezvous.

An executor registers under the id of its environment and dials out; a harness asks for that environment and
dials in; the service passes frames on between them. What the frames carry is encrypted from end to end: the
service sees the ids of streams, and nothing else.

=================  ==============================================================================
:mod:`signing`     signed URLs, and values that only their hash is kept of
:mod:`store`       tokens, registrations and authorizations, in SQLite
:mod:`switchboard` which stream belongs to which connections: no I/O
:mod:`limits`      how often somebody may ask: no I/O
:mod:`registry`    what is registered, asked for and validated: no HTTP
:mod:`links`       WebSocket connections, and what waits to be sent on them
:mod:`service`     the HTTP application of it all
=================  ==============================================================================
"""
