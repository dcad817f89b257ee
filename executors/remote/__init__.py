"""An executor that dials out: it registers by name and is reached through an encrypted relay.

Everything here but the command's options needs the extra `relay`.
"""
