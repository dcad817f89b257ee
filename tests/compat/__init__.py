"""The released exec-server's client against our executor, and our client against that server."""
