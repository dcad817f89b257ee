"""Shells and programs: arguments, variables, directories, input, output, terminals, exit codes."""
