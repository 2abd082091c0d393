"""What a program can run, read from its code: the definitions that its entry reaches, through every room.

A definition is a function, a method, or the rest of a class. It reaches what its names mean; a class that is reached
has those of its methods run whose names are called anywhere in what is reached, and all of them when a foreign class
is its base. What a decorator registers runs with its module, but in the operations app, where
each is a program of its own. Annotations count for nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from tests.aws.documents import ROOT

ROOMS: Final = {"scoreboard": "scoreboard", "api": "api", "workers": "workers", "chalicelib": "chalice_app/chalicelib"}
OPERATIONS: Final = "app"
"""The module of chalice_app/app.py, named as Chalice names it."""

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_OWN_BASES: Final = ("Protocol", "Enum", "StrEnum", "IntEnum", "Exception", "NamedTuple", "object")
_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(slots=True)
class Module:
    """A file of the rooms."""

    name: str
    tree: ast.Module
    file: Path
    definitions: dict[str, ast.stmt] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Local name → (module, name in it or nothing)."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A piece of code that runs."""

    module: Module
    name: str
    nodes: tuple[ast.AST, ...]

    def walk(self) -> Iterator[ast.AST]:
        """Every node in it that runs."""
        for node in self.nodes:
            yield from _running(node)


@cache
def modules(root: Path = ROOT) -> dict[str, Module]:
    """Return every module of the rooms, by the name that it is imported by."""
    found: dict[str, Module] = {}
    for room, folder in ROOMS.items():
        for file in sorted((root / folder).rglob("*.py")):
            parts = [room, *file.relative_to(root / folder).with_suffix("").parts]
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = _module(name, file)
    if (root / "chalice_app/app.py").exists():
        found[OPERATIONS] = _module(OPERATIONS, root / "chalice_app/app.py")
    return found


def _module(name: str, file: Path) -> Module:
    made = Module(name, ast.parse(file.read_text()), file)
    for statement in made.tree.body:
        if isinstance(statement, Definition):
            made.definitions[statement.name] = statement
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    made.definitions[target.id] = statement
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            made.definitions[statement.target.id] = statement
    for node in ast.walk(made.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                made.imports[alias.asname or alias.name.split(".")[0]] = (alias.name if alias.asname else "", "")
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                made.imports[alias.asname or alias.name] = (node.module, alias.name)
    return made


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below one, without annotations, and without what only the type checker runs."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
                continue
            if isinstance(child, ast.AST):
                yield from _running(child)


def _registered(module: Module) -> frozenset[str]:
    """The functions that a decorator takes note of, as the handler of something."""
    return frozenset(
        name
        for name, statement in module.definitions.items()
        if isinstance(statement, _Function) and any(isinstance(node, ast.Call) for node in statement.decorator_list)
    )


class _Search:
    def __init__(self, known: dict[str, Module]) -> None:
        self._known = known
        self.reached: dict[tuple[str, str], Reached] = {}
        self._waiting: list[tuple[str, str]] = []
        self._mentioned: set[str] = set()
        self._methods: dict[str, list[tuple[str, str]]] = {}
        """Methods of reached classes that are not called yet, by name."""

    def run(self, entries: Iterator[tuple[str, str]]) -> None:
        self._waiting.extend(entries)
        while self._waiting:
            module, name = self._waiting.pop()
            if (module, name) not in self.reached and module in self._known:
                self._enter(self._known[module], name)

    def _enter(self, module: Module, name: str) -> None:
        nodes = tuple(self._nodes(module, name))
        piece = Reached(module, name, nodes)
        self.reached[module.name, name] = piece
        if name:
            self._waiting.append((module.name, ""))
        registered = _registered(module) if module.name == OPERATIONS and not name else frozenset()
        for node in piece.walk():
            if not (isinstance(node, ast.Name) and node.id in registered):
                self._follow(module, node)

    def _nodes(self, module: Module, name: str) -> Iterator[ast.AST]:
        if not name:
            yield from self._top_level(module)
            return
        first, _, method = name.partition(".")
        definition: ast.AST = module.definitions[first]
        if method:
            assert isinstance(definition, ast.ClassDef)
            yield from (node for node in definition.body if isinstance(node, _Function) and node.name == method)
        elif isinstance(definition, ast.ClassDef):
            yield from self._class(module, definition)
        elif isinstance(definition, _Function):
            yield from (definition.args, *definition.body)
        else:
            yield definition

    def _top_level(self, module: Module) -> Iterator[ast.AST]:
        """What runs when a module is imported, without what is only made there."""
        for statement in module.tree.body:
            if isinstance(statement, _Function):
                if module.name != OPERATIONS and statement.name in _registered(module):
                    self._waiting.append((module.name, statement.name))
            elif not isinstance(statement, (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.ClassDef)):
                yield statement

    def _class(self, module: Module, definition: ast.ClassDef) -> Iterator[ast.AST]:
        yield from (*definition.bases, *definition.keywords, *definition.decorator_list)
        foreign = any(
            ast.unparse(base) not in _OWN_BASES and not self._is_own(module, base) for base in definition.bases
        )
        for node in definition.body:
            if not isinstance(node, _Function):
                yield node
                continue
            path = (module.name, f"{definition.name}.{node.name}")
            if foreign or node.name.startswith("__") or node.name in self._mentioned:
                self._waiting.append(path)
            else:
                self._methods.setdefault(node.name, []).append(path)

    def _is_own(self, module: Module, base: ast.expr) -> bool:
        name = ast.unparse(base).split(".")[0].split("[")[0]
        return name in module.definitions or module.imports.get(name, ("", ""))[0].split(".")[0] in ROOMS

    def _follow(self, module: Module, node: ast.AST) -> None:
        if isinstance(node, ast.Name):
            self._name(module, node.id)
        elif isinstance(node, ast.Attribute):
            if node.attr not in self._mentioned:
                self._mentioned.add(node.attr)
                self._waiting.extend(self._methods.pop(node.attr, ()))
            if isinstance(node.value, ast.Name) and node.value.id in module.imports:
                self._target(*self._full(module, node.value.id), node.attr)

    def _name(self, module: Module, name: str) -> None:
        if name in module.definitions:
            self._waiting.append((module.name, name))
        elif name in module.imports:
            self._target(*module.imports[name])

    def _full(self, module: Module, name: str) -> tuple[str]:
        origin, inner = module.imports[name]
        return (f"{origin}.{inner}" if inner else origin or name,)

    def _target(self, module: str, name: str) -> None:
        if f"{module}.{name}" in self._known:
            self._waiting.append((f"{module}.{name}", ""))
        elif module in self._known:
            found = self._known[module]
            if name in found.definitions:
                self._waiting.append((module, name))
            elif name in found.imports:
                self._target(*found.imports[name])


def reach(*entries: str) -> list[Reached]:
    """Return what the entries reach; each is `module:function`, or `module:` for all that the module defines."""
    known = modules()
    starts: list[tuple[str, str]] = []
    for entry in entries:
        module, _, name = entry.partition(":")
        assert module in known, f"there is no module {module}"
        assert not name or name in known[module].definitions, f"there is no {name} in {module}"
        starts.extend([(module, name)] if name else [(module, each) for each in ("", *known[module].definitions)])
    search = _Search(known)
    search.run(iter(starts))
    return list(search.reached.values())
