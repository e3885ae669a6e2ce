"""What the command line asks of the module of a verb."""

import argparse
from typing import Protocol


class Subparsers(Protocol):
    """Where a verb adds its parser: the object that `ArgumentParser.add_subparsers` returns."""

    def add_parser(
        self,
        name: str,
        *,
        help: str | None = None,
        description: str | None = None,
        epilog: str | None = None,
        formatter_class: type[argparse.HelpFormatter] = argparse.HelpFormatter,
    ) -> argparse.ArgumentParser:
        """Return a new parser for the verb `name`."""
        ...


class VerbModule(Protocol):
    """A module of this folder that is a verb."""

    def add_parser(self, subparsers: Subparsers, /) -> None:
        """Add the verb's own parser."""
        ...

    def run(self, args: argparse.Namespace, /) -> int:
        """Do the work and return the exit status."""
        ...
