"""The one exception that a user of dsmachine meets."""


class Error(Exception):
    """Something the user can put right, said in one line: the thing, its value, the fix.

    >>> raise Error("prompt is empty (0 tokens): give at least one character with --prompt")
    Traceback (most recent call last):
    ...
    dsmachine.circuits.errors.Error: prompt is empty (0 tokens): give at least one character \
with --prompt

    The command line prints it as ``error: …`` and exits with code 2.
    """
