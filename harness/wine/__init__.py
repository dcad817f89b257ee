"""The Windows executor on a Linux host: a Windows Python for Wine, and what is made of it."""
