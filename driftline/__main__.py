"""The command line `driftline`, and `python -m driftline`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say what to install for it."""
    try:
        import rich  # noqa: F401 - is it there?
        import typer  # noqa: F401
    except ModuleNotFoundError as error:
        print(  # noqa: T201
            f"the command line needs the package {error.name}: pip install 'driftline[client]'",
            file=sys.stderr,
        )
        sys.exit(2)
    from driftline.cli.app import main as run

    sys.exit(run())


if __name__ == "__main__":
    main()
