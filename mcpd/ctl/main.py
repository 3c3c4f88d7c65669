"""mcpctl: the operator's command. Parse the command line, run one subcommand, turn an error into words and a status."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from mcpd import __version__
from mcpd.ctl import (
    agent,
    attach,
    backup,
    baseline,
    call,
    capture,
    compliance,
    config,
    consent,
    events,
    health,
    hooks,
    keys,
    logs,
    maintenance,
    migrate,
    oauth_client,
    output,
    plugins,
    prompt,
    rollback,
    send,
    status,
    terminals,
    token,
    top,
    version,
    waiting,
)
from mcpd.ctl.command import Command, Parser, add_common
from mcpd.errors import AccessDenied, Error, UsageError, denied, described

NAME = "mcpctl"
_BROKEN_PIPE = 128 + signal.SIGPIPE

COMMANDS: dict[str, Command] = {
    "status": status,
    "health": health,
    "call": call,
    "prompt": prompt,
    "plugins": plugins,
    "consent": consent,
    "client": oauth_client,
    "token": token,
    "agent": agent,
    "attach": attach,
    "capture": capture,
    "send": send,
    "keys": keys,
    "terminals": terminals,
    "waiting": waiting,
    "top": top,
    "events": events,
    "backup": backup,
    "compliance": compliance,
    "maintenance": maintenance,
    "baseline": baseline,
    "migrate": migrate,
    "rollback": rollback,
    "hooks": hooks,
    "logs": logs,
    "config": config,
    "version": version,
}


def parser() -> Parser:
    """Return the command line of mcpctl."""
    result = Parser(prog=NAME, description="Operate mcpd.", epilog=f"See {NAME}(1).")
    result.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    result.usage = "%(prog)s [options] COMMAND ..."  # one line of the screen, not two
    add_common(result, nested=False)
    verbs = result.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for name, command in COMMANDS.items():
        verb = verbs.add_parser(name, prog=f"{NAME} {name}", help=command.HELP, description=command.HELP.capitalize())
        add_common(verb, nested=True)
        command.add_arguments(verb)
    return result


def main() -> None:
    """Run mcpctl."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends us without a word, and a shell's loop around us too
    _prepare_streams()
    sys.exit(_flushed(run(sys.argv[1:])))


def run(words: Sequence[str]) -> int:
    """Carry out the command line *words*; return the exit status."""
    try:
        arguments = parse(words)
        return COMMANDS[arguments.command].run(arguments)
    except SystemExit as done:  # after --help and --version
        return int(done.code or 0)
    except Error as error:
        refused = isinstance(error.__cause__, PermissionError) and not isinstance(error, AccessDenied)
        return _complain(denied(error) if refused else error, as_json="--json" in words)
    except BrokenPipeError:
        return _BROKEN_PIPE
    except PermissionError as exc:
        return _complain(denied(exc), as_json="--json" in words)
    except Exception as exc:  # noqa: BLE001 - an operator's command shows no traceback, whatever happens
        return _complain(Error(_fault(exc)), as_json="--json" in words)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return what *words* mean; raises ``UsageError``."""
    arguments, rest = parser().parse_known_args(words)
    # argparse takes no positional arguments behind an option that follows the first of them; we do.
    if rest and "words" in arguments and not any(word.startswith("-") for word in rest):
        arguments.words += rest
    elif rest:
        raise UsageError(f"unrecognized arguments: {' '.join(rest)}; see {NAME} {arguments.command} --help")
    return arguments


def _complain(error: Error, *, as_json: bool) -> int:
    with contextlib.suppress(Error, OSError):  # where even that cannot be written, the exit status has to do
        output.warn(error.message)
        if as_json:
            output.print_json({"error": {"message": error.message, "exit_status": error.exit_status}})
    return error.exit_status


def _fault(exc: Exception) -> str:
    """Say what went wrong that nobody foresaw, and where, for the report of it."""
    if isinstance(exc, OSError):
        return described(exc)
    frame = traceback.extract_tb(exc.__traceback__)[-1]
    return f"internal error, please report it: {type(exc).__name__}: {exc} ({Path(frame.filename).name}:{frame.lineno})"


def _prepare_streams() -> None:
    """Give closed streams somewhere to go, and let none fail at a character that its encoding lacks."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115, PTH123 - open as long as we run
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _flushed(status: int) -> int:
    """Return *status* after the last of the output left, or what it means that it could not."""
    for stream in (sys.stderr, sys.stdout):
        try:
            stream.flush()
        except OSError as exc:
            # Python flushes once more at exit, and would complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if stream is sys.stdout:
                status = _BROKEN_PIPE if isinstance(exc, BrokenPipeError) else status or Error.exit_status
    return status


if __name__ == "__main__":
    main()
