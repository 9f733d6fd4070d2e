from __future__ import annotations

import ast
import inspect
import re
import textwrap
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

import pgultra
from pgultra.plan import options
from tests.architecture.source import PUBLIC_MODULES, REFERENCE, TESTS, is_package, load, rooms

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a host writes: the front door, and behind it each room and each noun.
DOCUMENTED = ["pgultra", "pgultra.objects", "pgultra.plan", "pgultra.errors", *rooms()]


def exported(module: ModuleType) -> list[str]:
    """
    List what `from module import *` gives.
    """
    return list(getattr(module, "__all__", []))


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_what_is_exported_exists(name: str) -> None:
    """
    Each name in ``__all__`` is there, and once.
    """
    module = load(name)
    listed = exported(module)
    assert len(listed) == len(set(listed))
    assert [entry for entry in listed if not hasattr(module, entry)] == []


@pytest.mark.parametrize("name", [name for name in PUBLIC_MODULES if is_package(name)])
def test_a_package_exports_what_it_imports(name: str) -> None:
    """
    The public names in an ``__init__`` are those in its ``__all__``: nothing leaks.
    """
    module = load(name)
    listed = {entry for entry in exported(module) if hasattr(module, entry)}  # rooms load now
    public = {
        entry
        for entry, value in vars(module).items()
        if not entry.startswith("_") and entry not in {"annotations", "TYPE_CHECKING"}
        if entry in listed or not isinstance(value, ModuleType)
    }
    assert public == listed - {"__version__"}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_public_name_has_a_reference_page(name: str) -> None:
    """
    Each name is in the reference: by itself, or in a module that is shown as a whole.
    """
    text = "\n".join(page.read_text() for page in REFERENCE.rglob("*.md"))
    whole = re.findall(r"automodule:: (\S+)", text)
    shown = {entry for module in whole for entry in exported(load(module))}
    missing = [
        entry
        for entry in exported(load(name))
        if entry not in shown and not re.search(rf"[`.]{entry}\b", text)
    ]
    assert missing == []


def documented_names() -> list[str]:
    """
    List the classes and functions of the front door and of the rooms that a host writes.
    """
    found: dict[str, Any] = {}
    for module in [pgultra, *map(load, rooms())]:
        for entry in exported(module):
            value = getattr(module, entry)
            if not getattr(value, "__module__", "").startswith("pgultra"):
                continue  # another library's class, given on
            if inspect.isfunction(value) or (inspect.isclass(value) and is_written(value)):
                found[f"{value.__module__}:{value.__qualname__}"] = value
    return sorted(found)


def is_written(value: type) -> bool:
    """
    Tell what a host writes from errors and results, which it gets.
    """
    text = inspect.getdoc(value) or ""
    is_result = "Attributes:" in text and "Args:" not in text
    return not is_result and not issubclass(value, BaseException)


@pytest.mark.parametrize("name", documented_names())
def test_every_public_name_has_an_example(name: str) -> None:
    """
    The docstring of what a host writes shows how to write it.
    """
    module, _, attribute = name.partition(":")
    text = inspect.getdoc(getattr(load(module), attribute)) or ""
    assert "Example:" in text or ">>>" in text


def raises(value: Any) -> bool:
    """
    Tell whether a function, or a class when it is made, raises or insists on its options.
    """
    definition: Any = ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]
    made = [definition]
    if isinstance(definition, ast.ClassDef):
        made = [
            method
            for method in definition.body
            if isinstance(method, ast.FunctionDef) and method.name in ("__init__", "__post_init__")
        ]
    return any(
        isinstance(node, ast.Raise)
        or (isinstance(node, ast.Call) and getattr(node.func, "id", "") in options.__all__)
        for part in made
        for node in ast.walk(part)
    )


@pytest.mark.once
@pytest.mark.parametrize("name", documented_names())
def test_a_public_name_says_what_it_raises(name: str) -> None:
    """
    The docstring of what raises by itself has a section that says when.
    """
    module, _, attribute = name.partition(":")
    value = getattr(load(module), attribute)
    assert not raises(value) or "Raises:" in (inspect.getdoc(value) or "")


# What a host calls in its own programs and tests, so with its own type checker.
TYPED = [*DOCUMENTED, "pgultra.integrations.embedded", "pgultra.integrations.pytest"]


def uses(tree: ast.Module) -> Iterator[Any]:
    """
    Yield what of ours a file names below its imports, by itself or as an attribute of a module.
    """
    known: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pgultra"):
            module = load(node.module or "")
            known |= {name.asname or name.name: getattr(module, name.name) for name in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield known.get(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield getattr(known.get(node.value.id), node.attr, None)


@pytest.mark.once
@pytest.mark.parametrize("name", TYPED)
def test_every_public_name_has_a_use_that_is_type_checked(name: str) -> None:
    """
    A file in ``tests/typing`` uses each name, so two type checkers have seen its types.
    """
    files = sorted((TESTS / "typing").glob("*.py"))
    used = {id(value): value for file in files for value in uses(ast.parse(file.read_text()))}
    listed = {entry: getattr(load(name), entry) for entry in exported(load(name))}
    assert [entry for entry, value in listed.items() if id(value) not in used] == []
