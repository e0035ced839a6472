"""The error that a user can mend."""


class InputError(ValueError):
    """A value from outside that cannot be used: one line, both values, the mend.

    The command line prints its message alone and leaves with exit code 2; from
    Python it is an ordinary ``ValueError``.
    """


class InUse(InputError):
    """Another process trains in the run's folder."""


class Begun(InputError):
    """The folder holds a run already, and it was not asked to go on with it."""


GO_ON = "go on with --resume"  # in messages; a command that goes on otherwise says so


class NotWritten(InputError):
    """Something of a run could not be written: a full disk, a folder taken away.

    What was saved before stays, and ``--resume`` goes on from it. The command line
    leaves with exit code 1.
    """
