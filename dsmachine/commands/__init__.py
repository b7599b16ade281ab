"""The command line: one file a command, each listed once in ``COMMANDS``.

What a user can put right (:class:`dsmachine.Error`, a wrong option) is one line ``error: …`` on
stderr and exit code 2. Ctrl-C exits 130. Anything else is a bug and keeps its traceback.
"""

import errno
import io
import itertools
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from .. import Error, __version__
from . import (
    anneal,
    baseline,
    calibrate,
    characterize,
    crosscheck,
    demo,
    doctor,
    fetch,
    generate,
    info,
    netlist,
    place,
    report,
    sweep,
    train,
)
from ._common import Interrupted, LogHandler, error_line

COMMANDS: list[Callable[..., None]] = [
    demo.demo,
    doctor.doctor,
    fetch.fetch,
    info.info,
    calibrate.calibrate,
    anneal.anneal,
    generate.generate,
    netlist.netlist,
    crosscheck.crosscheck,
    characterize.characterize,
    place.place,
    report.report,
    baseline.baseline,
    train.train,
    sweep.sweep,
]

USER_ERROR = 2
INTERRUPTED = 130

# typer brings its own click since 0.26 and used the installed one before: take whichever it is.
_ClickError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

# What typer's own validators say, of each version.
_NO_NUMBER = re.compile(r"(Invalid value for .*?): .*\bvalid (integer|number|float)\b.*", re.DOTALL)
_NUMBERS = {"integer": ("whole number", "8"), "number": ("plain number", "0.001"), "float": ("plain number", "0.001")}

# No markup mode: rich would read the brackets of TERM[0:8,0:8] as markup.
app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in COMMANDS:
    app.command()(_command)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"dsmachine {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _frame(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True),
    ] = False,
    verbose: Annotated[
        int,
        typer.Option("-v", "--verbose", count=True, help="Say more; -vv everything.", metavar=""),
    ] = 0,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only errors: no warnings, no progress.")] = False,
) -> None:
    """Language models that anneal: a circuit-level emulator of the dynamical-system machine."""
    if quiet and verbose:
        raise typer.BadParameter("-q and -v exclude each other: give one of them")
    _start_logging(_level(verbose, quiet))
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _level(verbose: int, quiet: bool) -> int:
    if quiet:
        return logging.ERROR
    return [logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)]


def _start_logging(level: int) -> None:
    """Send the package's log to stderr; other packages' loggers keep their own settings."""
    logger = logging.getLogger("dsmachine")
    logger.setLevel(level)
    for handler in logger.handlers[:]:
        if isinstance(handler, LogHandler):
            logger.removeHandler(handler)
    logger.addHandler(LogHandler())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    command = typer.main.get_command(app)
    _let_all_text_through()
    args = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = command.main(args, prog_name="dsmachine", standalone_mode=False)
    except Error as error:
        return _fail(str(error))
    except _ClickError as error:
        return _fail(_usage_line(error, args))
    except Interrupted as interrupted:
        return _interrupted(str(interrupted))
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except OSError as error:
        if error.filename is not None or error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered goes nowhere
        return _fail("stdout cannot be written (no space left): make room for it")
    if code == INTERRUPTED:
        return _interrupted()
    return code if isinstance(code, int) else 0


def _usage_line(error: Exception, arguments: list[str]) -> str:
    """Name what is wrong, the value that was given, and where the options are listed."""
    message: str = error.format_message() if hasattr(error, "format_message") else str(error)
    parameter = getattr(error, "param", None)
    value = _given(parameter, arguments)
    if (wrong := _NO_NUMBER.fullmatch(message)) is not None:
        kind, example = _NUMBERS[wrong[2]]
        default = getattr(parameter, "default", None)
        example = f"{default:g}" if isinstance(default, int | float) else example
        said = "it" if value is None else repr(value)
        message = f"{wrong[1]}: {said} is no {kind}: write one such as {example}"
    if value is not None and repr(value) not in message:
        message = f"{message.rstrip('.')} (given: {value!r})"
    names = [a for a in arguments if a in {command.__name__ for command in COMMANDS}][:1]
    return f"{message.rstrip('.')}: see '{' '.join(['dsmachine', *names])} --help'"


def _given(parameter: Any, arguments: list[str]) -> str | None:
    """What the command line gives for an option."""
    for option in getattr(parameter, "opts", ()):
        for word, following in itertools.pairwise([*arguments, ""]):
            if word == option:
                return following
            if word.startswith(f"{option}="):
                return word.partition("=")[2]
    return None


def _fail(message: str) -> int:
    sys.stderr.write(error_line(message))
    return USER_ERROR


def _let_all_text_through() -> None:
    """On a terminal without UTF-8, write µ as \\xb5 instead of stopping."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _interrupted(kept: str = "") -> int:
    sys.stderr.write(f"interrupted: {kept}\n" if kept else "interrupted\n")
    return INTERRUPTED
