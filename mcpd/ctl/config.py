"""``mcpctl config``: every setting that is in effect, and what decided it."""

from __future__ import annotations

import argparse
import json

from mcpd import config
from mcpd.config import Setting
from mcpd.ctl import output

HELP = "show every setting and where it came from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``config`` takes."""
    parser.add_argument("--changed", action="store_true", help="only what the defaults did not decide")


def run(arguments: argparse.Namespace) -> int:
    """Print the settings; raises ``ConfigError`` when a file is wrong."""
    settings = list(config.effective(arguments.config).values())
    ours = [setting.name for setting in settings if setting.source.startswith("environment: ")]
    if ours:
        output.warn(f"{', '.join(ours)}: set by this shell's environment, which mcpd under systemd does not see")
    shown = [setting for setting in settings if not arguments.changed or is_changed(setting)]
    if arguments.json:
        output.print_json({s.name: {"value": s.value, "source": s.source, "doc": s.doc} for s in shown})
    else:
        rows = [(setting.name, json.dumps(setting.value, ensure_ascii=False), setting.source) for setting in shown]
        output.print_tables(output.table("", ("key", "value", "source"), rows, "no setting was changed"))
    return 0


def is_changed(setting: Setting) -> bool:
    """Say whether something else than the defaults, built in or shipped, decided *setting*."""
    shipped = ("default", str(config.DEFAULTS_FILE))
    return setting.source not in shipped or setting.value != config.defaults()[setting.name].value
