"""The ``napari-morse`` command."""

from __future__ import annotations

import os
import sys

import typer

from napari_morse.cli.demo import demo
from napari_morse.cli.evaluate import evaluate
from napari_morse.cli.finetune import finetune
from napari_morse.cli.info import info
from napari_morse.cli.models import models_app
from napari_morse.cli.predict import predict
from napari_morse.cli.project import project_app
from napari_morse.cli.recipes import recipes
from napari_morse.cli.train import train
from napari_morse.errors import CancelledError, MorseError

app = typer.Typer(
    name="napari-morse",
    help="Segment scans with MORSE: coarse and rendered masks. For research; not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (demo, train, finetune, predict, evaluate, recipes, info):
    app.command()(command)
app.add_typer(models_app, name="models")
app.add_typer(project_app, name="project")


def main() -> None:
    """Run the command line: exit code 0 done, 2 when the input cannot be used, 130 when cancelled."""
    try:
        app()
    # First: `CancelledError` is a `MorseError`, too.
    except (CancelledError, KeyboardInterrupt):
        sys.stderr.write("Cancelled.\n")
        sys.exit(130)
    except MorseError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(2)
    except OSError as error:  # such as a name longer than the system allows, or a folder that may not be listed
        sys.stderr.write(f"Error: {_where(error)}{error.strerror or error}. Check the name and who may use it.\n")
        sys.exit(2)


def _where(error: OSError) -> str:
    return f"“{os.fspath(error.filename)!s:.80}”: " if error.filename else ""


if __name__ == "__main__":
    main()
