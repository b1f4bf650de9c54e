"""Every place in the use cases that calls a port, found in their source; and which of them is calling now.

A port is a protocol of `stopline.ports`. A parameter, field or property that is annotated with one holds it, and so does
what is assigned from such a one.
"""

import ast
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import stopline.ports
from emulators.simulator.demand import demand

PACKAGE = Path(stopline.ports.__file__).parent
LAYERS = ("service", "runtime", "cli")  # what `replay` calls is in memory
NO_EFFECT = frozenset({"Clock"})  # asking what time it is cannot fail
Holders = Mapping[str, str]
"""Names, or names of attributes, that hold a port; and which."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A call in the source. `where`: the function that calls, as `service/fills/books.py FillLog.of`; `end`: line and column
    where the call ends, which tells two calls in one function apart.
    """

    where: str
    call: str
    end: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.where}: {self.call}"


Way = tuple[tuple[str, int], ...]
"""The lines of the use cases that lead to a call, the innermost first. Steps of one way are one step, done again."""


@cache
def protocols() -> Mapping[str, frozenset[str]]:
    """Return the methods of every port that may fail or have an effect, by its name."""
    tree = ast.parse(Path(stopline.ports.__file__).read_text())
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases):
            methods = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
            found[node.name] = frozenset(methods)
    return {name: methods for name, methods in found.items() if name not in NO_EFFECT}


@cache
def places(root: Path = PACKAGE, layers: Sequence[str] = LAYERS) -> frozenset[Place]:
    """Return every place in some layers of a package that calls a port."""
    files = [file for layer in layers for file in sorted((root / layer).rglob("*.py"))]
    trees = {file: ast.parse(file.read_text()) for file in files}
    attributes = {name: port for tree in trees.values() for name, port in _attributes(tree)}
    return frozenset(
        Place(f"{file.relative_to(root)} {where}", call, end)
        for file, tree in trees.items()
        for where, call, end in _calls(tree, "", attributes, _ports_of(tree))
    )


def calling() -> tuple[Place, Way]:
    """Return the place that is calling a port now, and by which way it came there."""
    place, way, frame = None, [], sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(_PREFIXES):
            if place is None:
                _, line, _, column = next(islice(code.co_positions(), frame.f_lasti // 2, None))
                place = _by_end().get((code.co_filename, line or 0, column or 0))
                demand(place, "a call of a port is in the list", f"{code.co_filename}:{line}")
            way.append((code.co_filename, frame.f_lineno))
        frame = frame.f_back
    demand(place, "a port is called by use cases", traceback.format_stack(limit=8))
    assert place is not None
    return place, tuple(way)


_PREFIXES = tuple(f"{PACKAGE}/{layer}/" for layer in LAYERS)


@cache
def _by_end() -> Mapping[tuple[str, int, int], Place]:
    return {(str(PACKAGE / place.where.partition(" ")[0]), *place.end): place for place in places()}


def _ports_of(tree: ast.Module) -> frozenset[str]:
    """Return the ports that a module imports by name."""
    imported = (n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module == "stopline.ports")
    return frozenset(alias.name for node in imported for alias in node.names) & protocols().keys()


def _port(annotation: ast.expr | None, ports: frozenset[str]) -> str | None:
    """Return the port that an annotation tells: itself, one that may be missing, or the values of a mapping."""
    names = {n.id for n in ast.walk(annotation) if isinstance(n, ast.Name)} if annotation else set()
    return next(iter(sorted(names & ports)), None)


def _parameters(function: ast.FunctionDef, ports: frozenset[str]) -> Holders:
    arguments = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
    told = {argument.arg: _port(argument.annotation, ports) for argument in arguments}
    return {name: port for name, port in told.items() if port}


def _attributes(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the names of fields and properties that hold a port, with the port."""
    ports = _ports_of(tree)
    for node in (n for n in ast.walk(tree) if isinstance(n, ast.ClassDef)):
        for part in node.body:
            if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                if port := _port(part.annotation, ports):
                    yield part.target.id, port
            elif isinstance(part, ast.FunctionDef):
                if part.decorator_list and (port := _port(part.returns, ports)):
                    yield part.name, port
                held = _parameters(part, ports)
                for step in (s for s in ast.walk(part) if isinstance(s, ast.Assign)):
                    for target in step.targets:
                        if isinstance(target, ast.Attribute) and _held(step.value, held, {}):
                            yield target.attr, str(_held(step.value, held, {}))


def _held(value: ast.expr, names: Holders, attributes: Holders) -> str | None:
    """Return the port that an expression stands for; of a mapping of ports also what is looked up in it."""
    match value:
        case ast.Name(id=name):
            return names.get(name)
        case ast.Attribute(attr=name):
            return attributes.get(name)
        case ast.Subscript(value=inner):
            return _held(inner, names, attributes)
        case ast.Call(func=ast.Attribute(value=inner, attr="get")):
            port = _held(inner, names, attributes)
            return port if port and "get" not in protocols()[port] else None
        case ast.BoolOp(values=[first, *_]):
            return _held(first, names, attributes)
        case _:
            return None


def _calls(
    node: ast.AST, where: str, attributes: Holders, ports: frozenset[str], names: Holders | None = None
) -> Iterator[tuple[str, str, tuple[int, int]]]:
    """Yield who calls what, and where each call ends."""
    held = dict(names or {})
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            own = _parameters(child, ports) if isinstance(child, ast.FunctionDef) else {}
            inner = f"{where}.{child.name}" if where else child.name
            yield from _calls(
                child, inner, attributes, ports, {**held, **own, **_assigned(child, attributes, own)}
            )
            continue
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute):
            port, method = _held(child.func.value, held, attributes), child.func.attr
            if port and method in protocols()[port]:
                yield where, f"{port}.{method}", (child.end_lineno or 0, child.end_col_offset or 0)
        yield from _calls(child, where, attributes, ports, held)


def _assigned(node: ast.AST, attributes: Holders, names: Holders) -> Holders:
    """Return the local names that ports are assigned to."""
    found: dict[str, str] = {}
    for step in (s for s in ast.walk(node) if isinstance(s, ast.Assign)):
        for target in step.targets:
            pairs = [(target, step.value)]
            if isinstance(target, ast.Tuple) and isinstance(step.value, ast.Tuple):
                pairs = list(zip(target.elts, step.value.elts, strict=True))
            for name, value in pairs:
                port = _held(value, {**names, **found}, attributes)
                if isinstance(name, ast.Name) and port:
                    found[name.id] = port
    return found
