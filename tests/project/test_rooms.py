"""The rooms of the window: who is let in by which door."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import napari_morse

PACKAGE = Path(napari_morse.__file__).parent
ROOMS = {
    f"napari_morse.{floor}.{room.name}"
    for floor in ("widgets", "session")
    for room in (PACKAGE / floor).iterdir()
    if (room / "__init__.py").is_file()
}
MODULES = sorted((PACKAGE / "widgets").rglob("*.py"))


def _at_the_top(tree: ast.Module) -> Iterator[ast.ImportFrom]:
    """Imports of a module that run when it is loaded, and those for the type checker."""
    for node in tree.body:
        body = node.body if isinstance(node, ast.If) else [node]
        yield from (each for each in body if isinstance(each, ast.ImportFrom))


def _past_the_door(text: str, own: str) -> list[str]:
    """What a module of the room ``own`` takes from another room without asking at its door."""
    modules = (node.module or "" for node in _at_the_top(ast.parse(text)))
    rooms = ((module, ".".join(module.split(".")[:3])) for module in modules)
    return [module for module, room in rooms if room in ROOMS and room not in (own, module)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_another_room_is_entered_by_its_door(path):
    own = ".".join(("napari_morse", *path.relative_to(PACKAGE).parts[:-1]))
    assert not _past_the_door(path.read_text(encoding="utf-8"), own)


@pytest.mark.parametrize("floor", ["widgets.base", "session.case", "session.run"])
def test_a_way_past_the_door_is_seen(floor):
    beside = f"from napari_morse.{floor}.anything import Thing"
    checked = f"if TYPE_CHECKING:\n    {beside}"
    assert _past_the_door(beside, "napari_morse.widgets.review") == [f"napari_morse.{floor}.anything"]
    assert _past_the_door(checked, "napari_morse.widgets.review")
    assert not _past_the_door(beside, f"napari_morse.{floor}")
    assert not _past_the_door(f"from napari_morse.{floor} import Thing", "napari_morse.widgets.review")


def _imported(path: Path, modules: Mapping[str, Path]) -> set[str]:
    """Modules of ours that one imports, anywhere in it, for the type checker too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            found |= {name if name in modules else node.module for name in names}
    return found & modules.keys()


def test_no_module_imports_itself_round_about():
    paths = {path.relative_to(PACKAGE.parent).with_suffix("").as_posix(): path for path in PACKAGE.rglob("*.py")}
    modules = {name.replace("/", ".").removesuffix(".__init__"): path for name, path in paths.items()}
    graph = {name: _imported(path, modules) - {name} for name, path in modules.items()}
    assert sum(map(len, graph.values())) > 1000
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' → '.join(error.args[1])}")
