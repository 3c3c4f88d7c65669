"""The manual says what the programs do, and nothing else: checked both ways, on the pages' own source."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import json
import os
import re
import shutil
import subprocess
import tomllib
import typing
from pathlib import Path

import msgspec
import pytest

from mcpd import config, errors
from mcpd.agents import generator
from mcpd.agents import keys as agents
from mcpd.agents.agent import Agent
from mcpd.config import Config
from mcpd.ctl import main as mcpctl
from mcpd.ctl.client import Refused
from mcpd.daemons import backup, hook, maintenance, migrate, rpc, stdio, ttyd_manager, ws
from mcpd.protocol import events, revisions
from mcpd.protocol.signing import KEY_BYTES
from mcpd.server import events_endpoint
from mcpd.server.core import Core
from mcpd.store.database import Database

ROOT = Path(__file__).parents[2]
PAGES = {path.name: path.read_text() for path in sorted((ROOT / "man").iterdir())}
PROGRAMS = {"mcpd-stdio.1": stdio.parser, "mcpd-hook.1": hook.parser}
DAEMONS = {
    "mcpd-rpc.8": rpc.parser,
    "mcpd-migrate.8": migrate.parser,
    "mcpd-backup.8": backup.parser,
    "mcpd-maintenance.8": maintenance.parser,
    "mcpd-ttyd-manager.8": ttyd_manager.parser,
    "mcpd-ws.8": ws.parser,
}


def section(page: str, title: str) -> str:
    """The source of one section of a page, without its head."""
    found = re.search(rf"^\.Sh {title}\n(.*?)(?=^\.Sh |\Z)", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    assert found is not None, f"{page} has no section {title}"
    return found[1]


def items(source: str, macro: str) -> list[str]:
    """What the items of a list that are marked with *macro* name: the first word behind it."""
    return re.findall(rf"^\.It {macro} (\S+)", source, flags=re.MULTILINE)


def flags(source: str) -> set[str]:
    """Options as they are typed: ``.It Fl h , -help`` → -h, --help."""
    lines = re.findall(r"^\.It Fl (.*?)(?: Ar .*)?$", source, flags=re.MULTILINE)
    return {f"-{name}" for line in lines for name in line.split(" , ")}


def options(parser: argparse.ArgumentParser) -> set[str]:
    return {name for action in parser._actions for name in action.option_strings}


def verbs() -> dict[str, argparse.ArgumentParser]:
    """The parsers of mcpctl's commands."""
    for action in mcpctl.parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise AssertionError("mcpctl has no commands")


def documented_verbs() -> dict[str, str]:
    """The commands of mcpctl(1), each with its part of the page."""
    parts = re.split(r"^\.It Cm (\S+).*\n", section("mcpctl.1", "COMMANDS"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("page", DAEMONS | PROGRAMS)
def test_a_program_takes_the_options_of_its_page(page: str) -> None:
    assert flags(section(page, "DESCRIPTION")) == options((DAEMONS | PROGRAMS)[page]())


def test_mcpctl_takes_the_options_of_its_page() -> None:
    assert flags(section("mcpctl.1", "DESCRIPTION")) == options(mcpctl.parser())


def test_mcpctl_has_the_commands_of_its_page() -> None:
    assert list(documented_verbs()) == list(verbs())


@pytest.mark.parametrize("verb", verbs())
def test_a_command_has_a_help(verb: str) -> None:
    assert verbs()[verb].format_help().startswith(f"usage: mcpctl {verb}")


@pytest.mark.parametrize("verb", verbs())
def test_a_command_takes_the_options_of_its_part_of_the_page(verb: str) -> None:
    common = options(mcpctl.parser()) - {"--version"}
    assert flags(documented_verbs()[verb]) == options(verbs()[verb]) - common
    assert common <= options(verbs()[verb])


def raised_by(folder: Path) -> set[int]:
    """The exit statuses of the error classes that the modules in *folder* import."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "mcpd.errors":
                kinds = [getattr(errors, alias.name) for alias in node.names]
                found |= {
                    kind.exit_status for kind in kinds if isinstance(kind, type) and issubclass(kind, errors.Error)
                }
    return found


def test_the_exit_statuses_of_mcpctl_are_those_of_its_errors() -> None:
    documented = {int(status) for status in items(section("mcpctl.1", "EXIT STATUS"), "Li")}
    raised = raised_by(ROOT / "mcpd" / "ctl") | raised_by(ROOT / "mcpd" / "legacy")
    raised |= raised_by(ROOT / "mcpd" / "backup")
    assert documented == raised | {0, Refused.exit_status}


@pytest.mark.parametrize("page", DAEMONS)
def test_the_exit_statuses_of_a_daemon_are_on_its_page(page: str) -> None:
    documented = {int(status) for status in items(section(page, "EXIT STATUS"), "Li")}
    fatal = {errors.ConfigError.exit_status, errors.StoreUnavailable.exit_status}
    fatal |= {errors.Unreachable.exit_status} if page == "mcpd-ttyd-manager.8" else set()  # the system bus
    fatal |= {errors.SourceUnusable.exit_status} if page == "mcpd-migrate.8" else set()  # a snapshot's source
    if page == "mcpd-backup.8":
        fatal |= raised_by(ROOT / "mcpd" / "backup") - {errors.EX_SOFTWARE}
    assert documented == fatal | {0, errors.EX_USAGE}


def test_the_exit_statuses_of_the_bridge_are_those_of_its_errors() -> None:
    documented = {int(status) for status in items(section("mcpd-stdio.1", "EXIT STATUS"), "Li")}
    assert documented == raised_by(ROOT / "mcpd" / "bridge") - {errors.EX_DATAERR} | {0, errors.EX_USAGE}


def documented_keys() -> dict[str, str]:
    """The keys of mcpd.toml(5) as section.key, each with its text on one line."""
    found = {}
    parts = re.split(r"^\.Ss Section (\w+)\n", section("mcpd.toml.5", "DESCRIPTION"), flags=re.MULTILINE)
    for name, source in zip(parts[1::2], parts[2::2], strict=True):
        keys = re.split(r"^\.It Cm (\w+)\n", source, flags=re.MULTILINE)
        for key, text in zip(keys[1::2], keys[2::2], strict=True):
            found[f"{name}.{key}"] = " ".join(text.split())
    return found


def test_every_key_is_in_the_page_in_the_order_of_the_file() -> None:
    assert list(documented_keys()) == list(config.defaults())


@pytest.mark.parametrize("name", config.defaults())
def test_a_keys_text_begins_with_its_type_its_range_and_its_default(name: str) -> None:
    setting = config.defaults()[name]
    kind = config.describe(setting.type)
    expected = f"{kind[0].upper()}{kind[1:]}; default {json.dumps(setting.value)}. "
    assert documented_keys()[name].startswith(expected)


def agent_keys(macro: str) -> dict[str, str]:
    """The keys of mcpd-agents(5) that are marked with *macro*, each with its text on one line."""
    parts = re.split(rf"^\.It {macro} (\w+)\n", section("mcpd-agents.5", "DESCRIPTION"), flags=re.MULTILINE)
    return {key: " ".join(text.split()) for key, text in zip(parts[1::2], parts[2::2], strict=True)}


@pytest.mark.parametrize(("macro", "keys"), [("Cm", agents.KEYS), ("Ic", agents.LIMITS)])
def test_a_key_of_an_agent_s_file_is_in_the_page_with_what_it_takes(macro: str, keys: dict[str, agents.Key]) -> None:
    documented = agent_keys(macro)
    assert list(documented) == list(keys)
    for name, key in keys.items():
        assert documented[name].startswith(key.expected[0].upper() + key.expected[1:]), name


def test_the_variables_of_an_agent_are_in_the_page() -> None:
    unit = (ROOT / "units" / "mcp-agent@.service.d" / "10-environment.conf").read_text()
    lines = re.findall(r"^Environment=(.*)$", unit, flags=re.MULTILINE)
    given = {word.partition("=")[0] for line in lines for word in line.split()} - {"COLORTERM", "LANG"}
    given |= set(generator.environment(Agent("docs", 9000, "Docs")))
    named = re.findall(r"^\.It Ev (.*)$", section("mcpd-agents.5", "ENVIRONMENT"), flags=re.MULTILINE)
    assert {name for line in named for name in line.split(" , ")} == given


def test_every_variable_of_the_configuration_is_in_the_page() -> None:
    assert items(section("mcpd.toml.5", "ENVIRONMENT"), "Ev") == list(config.ENVIRONMENT)


SHIPPED = (ROOT / "packaging" / "mcpd.toml").read_text()


def test_the_shipped_file_holds_every_default() -> None:
    assert config.build(config.resolve([ROOT / "packaging" / "mcpd.toml"], [])) == Config()
    given = {f"{name}.{key}" for name, values in tomllib.loads(SHIPPED).items() for key in values}
    assert given == set(config.defaults())


@pytest.mark.parametrize("name", config.defaults())
def test_the_shipped_file_explains_a_key_as_the_code_does(name: str) -> None:
    setting = config.defaults()[name]
    in_section = SHIPPED.split(f"[{name.partition('.')[0]}]\n", 1)[1]
    found = re.search(rf"((?:^# .*\n)+){name.partition('.')[2]} = ", in_section, flags=re.MULTILINE)
    assert found is not None, f"{name} has no comment"
    comment = found[1].replace("# ", "").replace("\n", " ").strip()
    assert re.split(r"[.:;,]", comment)[0] == re.split(r"[.:;,]", setting.doc)[0]
    choices = typing.get_args(setting.type) if typing.get_origin(setting.type) is typing.Literal else ()
    assert all(choice in comment for choice in choices)


def test_every_unit_is_in_the_overview() -> None:
    source = section("mcpd.7", "DESCRIPTION")
    units = {path.name for path in (ROOT / "units").iterdir() if path.is_file()}
    assert {name for name in items(source, "Pa") if "/" not in name} == units


def test_every_endpoint_is_in_the_overview(db: Database) -> None:
    routes = Core(db, Config(), bytes(KEY_BYTES))._routes
    served = {f"{method} {path}" for path, route in routes.items() for method in route.handlers}
    listed = re.findall(
        r"^\.It Li ((?:GET|POST|PUT|DELETE) /\S+)", section("mcpd.7", "DESCRIPTION"), flags=re.MULTILINE
    )
    assert set(listed) == served


def test_every_journal_field_is_in_the_overview() -> None:
    documented = [name for name in items(section("mcpd.7", "DESCRIPTION"), "Li") if name.startswith("MCPD_")]
    daemons = (path.read_text() for path in (ROOT / "mcpd" / "daemons").glob("*.py"))
    written = [name for text in daemons for name in re.findall(r'"(MCPD_\w+)"[:\]]', text)]
    assert set(documented) == set(written)


def test_the_overview_names_the_revisions_that_are_spoken() -> None:
    listed = re.search(r"over Streamable HTTP, in revisions ([^.]+)\.", section("mcpd.7", "DESCRIPTION"))
    assert listed is not None
    assert set(re.split(r",\s+|\s+and\s+", listed[1])) == set(revisions.SUPPORTED)


def test_every_topic_is_in_its_page_with_its_meaning_and_its_data() -> None:
    topics = section("mcpd-events.7", "DESCRIPTION").split(".Ss Topics\n")[1]
    parts = re.split(r"^\.It Li (\S+)\n", topics.split("\n.El")[0] + "\n", flags=re.MULTILINE)
    documented = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert list(documented) == list(events.CATALOGUE)
    for topic, kind in events.CATALOGUE.items():
        fields = [field.encode_name for field in msgspec.structs.fields(kind.data)]
        data = f"Data:\n.Li {' , '.join(fields)} .\n" if fields else ""
        assert documented[topic] == f"{kind.meaning}\n{data}", topic


def test_the_parameters_of_events_are_in_the_page() -> None:
    source = section("mcpd-events.7", "DESCRIPTION")
    assert set(items(source, "Cm")) == set(events_endpoint.PARAMETERS)


def test_every_program_has_a_page() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert set(scripts) <= {name.rpartition(".")[0] for name in PAGES}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_refers_to_pages_of_ours_that_exist(page: str) -> None:
    referred = {f"{name}.{number}" for name, number in re.findall(r"^\.Xr (\S+) (\d)", PAGES[page], re.MULTILINE)}
    ours = {name for name in referred if name.startswith("mcp")}
    assert ours, f"{page} refers to no other page"
    assert ours <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_the_head_of_a_page_is_its_file_name(page: str) -> None:
    name, _, number = page.rpartition(".")
    assert f".Dt {name.upper()} {number}\n" in PAGES[page]
    assert f".Sh NAME\n.Nm {name}\n.Nd " in PAGES[page]


@pytest.mark.host
@pytest.mark.parametrize("page", PAGES)
def test_mandoc_has_nothing_to_say_about_a_page(page: str) -> None:
    if shutil.which("mandoc") is None and not os.environ.get("CI"):
        pytest.skip("mandoc is not installed")
    done = subprocess.run(["mandoc", "-T", "lint", ROOT / "man" / page], capture_output=True, text=True, check=False)
    # Which of the other packages' pages are installed here says nothing about ours.
    said = [line for line in done.stdout.splitlines() if "referenced manual not found" not in line]
    assert said == []


def test_every_key_of_the_dataclasses_is_a_setting() -> None:
    """``config.defaults()``, by which the tests above go, leaves nothing out."""
    fields = {
        f"{part.name}.{key.name}"
        for part in dataclasses.fields(Config)
        for key in dataclasses.fields(getattr(Config(), part.name))
    }
    assert set(config.defaults()) == fields
