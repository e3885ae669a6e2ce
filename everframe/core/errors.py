"""The one exception that means: the caller's input is wrong; the message says how to mend it."""


class UserError(ValueError):
    """Bad input. The message names the fault and the fix; the command line shows it as one line."""
