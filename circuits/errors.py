"""The one exception that a user of dsmachine meets."""


class Error(Exception):
    """Something the user can put right, said in one line: the thing, its value, the fix.

    >>> str(Error("prompt '' is empty: give at least one character"))
    "prompt '' is empty: give at least one character"

    The command line prints it as ``error: …`` and exits with code 2.
    """
