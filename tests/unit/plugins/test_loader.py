"""Plug-ins are found, imported, and left out whole when they are broken, whatever they do."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpd.plugins import api, loader
from mcpd.plugins.base import Loaded

SOUND = """
from __future__ import annotations
import msgspec
from mcpd.plugins.api import AsyncTool, Context, Plugin
__version__ = "1.5"
class Word(msgspec.Struct, frozen=True):
    word: str
class Greeting(msgspec.Struct, frozen=True):
    word: Word
async def greet(context: Context, greeting: Greeting) -> str:
    return greeting.word.word
PLUGIN = Plugin(tools=[AsyncTool(name="NAME", title="Greet", description="Greet.", arguments=Greeting, function=greet)])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "tools.d"
    path.mkdir(mode=0o755)
    return path


@pytest.fixture(autouse=True)
def _modules_forgotten() -> Iterator[None]:
    before, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if name.startswith(("mcpd_plugin_", "shop")):
            del sys.modules[name]


def write(path: Path, text: str, mode: int = 0o644) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def sound(name: str) -> str:
    return SOUND.replace("NAME", name)


def load(folder: Path, *disabled: str) -> dict[str, Loaded]:
    return {plugin.name: plugin for plugin in loader.load(folder, disabled).loaded}


def test_a_file_brings_its_tool_under_the_name_of_the_file(folder: Path) -> None:
    path = write(folder / "greetings.py", sound("greet"))
    loading = loader.load(folder, ())
    assert [tool.name for tool in loading.plugin.tools] == ["greet"]
    assert loading.plugin.tools[0].input_schema["properties"]["word"] == {"$ref": "#/$defs/Word"}
    assert loading.loaded == (
        Loaded(name="greetings", source=str(path), version="1.5", state="loaded", tools=("greet",)),
    )
    assert loading.faults == {}
    assert sorted(child.name for child in folder.iterdir()) == ["greetings.py"], "nothing compiled is left beside it"


def test_a_function_may_make_the_plugin(folder: Path) -> None:
    text = sound("greet").replace("PLUGIN = ", "def plugin() -> Plugin:\n    return ")
    write(folder / "made.py", text)
    assert load(folder)["made"].tools == ("greet",)


def test_without_a_directory_there_are_no_files(tmp_path: Path) -> None:
    assert loader.load(tmp_path / "nothing", ()).loaded == ()


def test_other_files_are_left_alone(folder: Path) -> None:
    for name in ("README", "greet.py~", ".#greet.py", "greet.py.dpkg-old"):
        write(folder / name, "raise RuntimeError")
    assert load(folder) == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def f(:", "SyntaxError: invalid syntax (broken.py, line 1)"),
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found' (broken.py:1)"),
        ("\nraise RuntimeError('two\\nlines')", "RuntimeError: two lines (broken.py:2)"),
        ("raise ValueError('its own')", "ValueError: its own (broken.py:1)"),
        ("raise SystemExit(0)", "SystemExit: 0 (broken.py:1)"),
        ("import asyncio\nraise asyncio.CancelledError", "CancelledError: (broken.py:2)"),
        ("class Own(BaseException): pass\nraise Own('x')", "Own: x (broken.py:2)"),
        ("x = 1", "it has neither a variable PLUGIN nor a function plugin()"),
        ("PLUGIN = 'x'", "it brings str; expected a Plugin, or a function that returns one"),
        ("def plugin(): return None", "it brings nothing; expected a Plugin, or a function that returns one"),
        ("def plugin(): raise KeyError('x')", "KeyError: 'x' (broken.py:1)"),
        ("def plugin(x): pass", "TypeError: plugin() missing 1 required positional argument: 'x'"),
        ("from mcpd.plugins.api import Nothing", "ImportError: cannot import name 'Nothing'"),
        ("\0", "cannot contain null bytes"),
        (sound("heartbeat"), "tool 'heartbeat': mcpd has one of that name"),
        (sound("two words"), "tool 'two words': name: expected 1 to 64 of A-Z a-z 0-9 _ . / -"),
    ],
    ids=lambda text: text[-40:],
)
def test_a_broken_file_is_left_out_and_the_others_are_served(folder: Path, text: str, why: str) -> None:
    write(folder / "broken.py", text)
    write(folder / "sound.py", sound("greet"))
    loading = loader.load(folder, ())
    broken, served = loading.loaded
    assert (broken.name, broken.state, broken.tools) == ("broken", "broken", ())
    assert broken.error is not None
    assert why in broken.error
    assert (served.state, served.tools) == ("loaded", ("greet",))
    assert list(loading.faults) == ["broken"]


def test_a_file_that_is_no_text_is_broken(folder: Path) -> None:
    (folder / "broken.py").write_bytes(b"\xff\xfe\x00")
    (folder / "broken.py").chmod(0o644)
    assert "SyntaxError" in (load(folder)["broken"].error or "")


def test_an_error_is_short(folder: Path) -> None:
    write(folder / "broken.py", "raise RuntimeError('x' * 100_000)")
    assert len(load(folder)["broken"].error or "") == 500


def test_ctrl_c_is_no_fault_of_a_plugin(folder: Path) -> None:
    write(folder / "broken.py", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        loader.load(folder, ())


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_others_may_write_is_not_run(folder: Path, mode: int) -> None:
    write(folder / "open.py", "raise RuntimeError('it ran')", mode)
    assert load(folder)["open"].error == f"others may write it, mode {mode:04o}; chmod go-w"


@pytest.mark.parametrize("mode", [0o775, 0o777, 0o1777])
def test_nothing_of_a_directory_that_others_may_write_is_run(folder: Path, mode: int) -> None:
    write(folder / "fine.py", sound("greet"))
    folder.chmod(mode)
    (only,) = loader.load(folder, ()).loaded
    assert (only.name, only.source, only.state) == ("tools.d", str(folder), "broken")
    assert only.error == f"others may write it, mode {mode:04o}; chmod go-w"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_is_not_run(folder: Path) -> None:
    os.chown(write(folder / "foreign.py", "raise RuntimeError('it ran')"), 12345, -1)
    assert load(folder)["foreign"].error == "user 12345 owns it; expected root, or the user that runs the daemon"
    os.chown(folder, 12345, -1)
    assert load(folder)["tools.d"].error == "user 12345 owns it; expected root, or the user that runs the daemon"


def test_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    target = write(tmp_path / "elsewhere.py", "raise RuntimeError('it ran')")
    (folder / "link.py").symlink_to(target)
    (folder / "nowhere.py").symlink_to(tmp_path / "missing.py")
    assert {plugin.error for plugin in load(folder).values()} == {"it is a symbolic link; expected a file"}


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe.py", 0o644)
    (folder / "folder.py").mkdir(mode=0o755)
    assert {plugin.error for plugin in load(folder).values()} == {"it is no regular file"}


def test_a_directory_that_is_a_file_is_reported(folder: Path) -> None:
    (only,) = loader.load(write(folder / "file", ""), ()).loaded
    assert only.state == "broken"
    assert "NotADirectoryError" in (only.error or "")


def test_a_disabled_plugin_is_not_even_imported(folder: Path) -> None:
    write(folder / "off.py", "raise RuntimeError('it ran')")
    write(folder / "on.py", sound("greet"))
    loaded = load(folder, "off")
    assert (loaded["off"].state, loaded["off"].error) == ("disabled", None)
    assert loaded["on"].state == "loaded"


def test_a_second_plugin_with_a_tool_of_the_same_name_is_left_out(folder: Path) -> None:
    write(folder / "a.py", sound("greet"))
    write(folder / "b.py", sound("greet"))
    loaded = load(folder)
    assert loaded["a"].state == "loaded"
    assert loaded["b"].error == "tool 'greet': a has one of that name"


def test_the_name_of_a_file_is_checked(folder: Path) -> None:
    write(folder / "two words.py", "raise RuntimeError('it ran')")
    assert load(folder)["two words"].error == "its name: expected 1 to 64 of A-Z a-z 0-9 _ . -"


def install(root: Path, entry_points: str, name: str = "shop", version: str = "2.0", module: str = "") -> None:
    """Put a package called *name* where ``sys.path`` finds it, as pip would leave it."""
    information = root / f"{name}-{version}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (information / "entry_points.txt").write_text(entry_points)
    (root / f"{name}.py").write_text(module or sound("buy"))


@pytest.mark.parametrize("entry", ["shop", "shop:PLUGIN"])
def test_a_package_brings_tools_by_an_entry_point(folder: Path, tmp_path: Path, entry: str) -> None:
    install(tmp_path / "site", f"[mcpd.tools]\nmarket = {entry}\n")
    sys.path.insert(0, str(tmp_path / "site"))
    market = load(folder)["market"]
    version = "1.5" if entry == "shop" else "2.0"
    assert market == Loaded(name="market", source="shop", version=version, state="loaded", tools=("buy",))


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("shop:nothing", "AttributeError: module 'shop' has no attribute 'nothing'"),
        ("shop.missing", "ModuleNotFoundError: No module named 'shop.missing'"),
        ("not a module!", "its entry point is 'not a module!'; expected module or module:object"),
        ("shop:__version__", "it brings str; expected a Plugin"),
    ],
)
def test_a_broken_entry_point_is_left_out(folder: Path, tmp_path: Path, entry: str, why: str) -> None:
    install(tmp_path / "site", f"[mcpd.tools]\nmarket = {entry}\n")
    sys.path.insert(0, str(tmp_path / "site"))
    assert why in (load(folder)["market"].error or "")


def test_what_is_wrong_in_other_packages_does_not_matter(folder: Path, tmp_path: Path) -> None:
    install(tmp_path / "site", "this is no entry point\n[x\n", name="odd")
    install(tmp_path / "site", "[mcpd.tools]\nmarket = shop\n")
    sys.path.insert(0, str(tmp_path / "site"))
    assert load(folder)["market"].state == "loaded"


def test_a_package_that_stands_behind_another_of_its_name_is_not_seen(folder: Path, tmp_path: Path) -> None:
    install(tmp_path / "new", "[mcpd.tools]\nmarket = shop:PLUGIN\n", version="3.0")
    install(tmp_path / "old", "[mcpd.tools]\nmarket = shop:PLUGIN\n", version="2.0")
    sys.path[:0] = [str(tmp_path / "new"), str(tmp_path / "old")]
    assert [(p.name, p.version, p.state) for p in loader.load(folder, ()).loaded] == [("market", "3.0", "loaded")]


def test_a_file_does_not_take_the_name_of_a_package(folder: Path, tmp_path: Path) -> None:
    install(tmp_path / "site", "[mcpd.tools]\nmarket = shop\n")
    sys.path.insert(0, str(tmp_path / "site"))
    write(folder / "market.py", sound("greet"))
    first, second = loader.load(folder, ()).loaded
    assert (first.state, second.error) == ("loaded", "there is another plug-in of that name")


def test_everything_that_an_author_imports_is_there() -> None:
    assert api.__all__ == sorted(api.__all__)
    assert all(hasattr(api, name) for name in api.__all__)
