"""
PATH: from ``package.models:Base`` or ``path/to/models.py:Base`` to MetaData.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import sysconfig
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from sqlalchemy import MetaData
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import configure_mappers

from pgultra.errors import PgultraError
from pgultra.plan.declare import entries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

__all__ = ["PATH", "TargetError", "attribute_of", "load"]

PATH = Annotated[
    str,
    typer.Argument(
        metavar="PATH",
        help="The models: module:Base or path/to/file.py:Base; a declarative base, a MetaData, "
        "or a list of them.",
        show_default=False,
    ),
]


_LIBRARIES = (
    str(Path(__file__).parents[2]),
    *(sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")),
    "<",
)
"""What is not the host's: pgultra, what is installed, Python itself, and code without a file."""


class TargetError(PgultraError):
    """
    PATH does not lead to models.
    """


def load(path: str, *, declared: bool = True) -> list[MetaData]:
    """
    Import what PATH names.

    Args:
        path: ``module:attribute`` or ``file.py:attribute``.
        declared: insist that something was declared.

    Raises:
        TargetError: saying which part of PATH is wrong.
    """
    place, _, attribute = path.rpartition(":")
    if not place or not attribute:
        raise TargetError(
            f"PATH is module:attribute or path/to/file.py:attribute, not {path!r}; "
            "for example app.models:Base"
        )
    module = _module(place)
    several = _several(_attribute(module, place, attribute), path)
    try:
        configure_mappers()  # cascades follow relationships
    except SQLAlchemyError as error:
        raise TargetError(f"the mappers of {place} cannot be configured: {error}") from error
    if declared and not any(True for each in several for _ in entries(each)):
        tables = sum(len(each.tables) for each in several)
        raise TargetError(
            f"nothing is declared with pgultra on {path} (it has {tables} tables): import the "
            "modules of all models there, or give another PATH"
        )
    return several


def attribute_of(path: str) -> Any:  # whatever is there
    """
    Import something else than models: ``module:attribute`` or ``file.py:attribute``.

    Raises:
        TargetError: saying which part of it is wrong.
    """
    place, _, attribute = path.rpartition(":")
    if not place or not attribute:
        raise TargetError(f"{path!r} is not module:attribute or path/to/file.py:attribute")
    return _attribute(_module(place), place, attribute)


def _module(place: str) -> ModuleType:
    if place.endswith(".py") or "/" in place:
        name = _name_of_file(Path(place))
    else:
        name = place
        _look_in(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise TargetError(_broken(place, error)) from error
        raise TargetError(
            f"there is no module {name!r}, looked for in {Path.cwd()} and on the Python path; "
            "give a path to the file instead, such as app/models.py:Base"
        ) from error
    except (Exception, SystemExit) as error:  # whatever the models' own code raises
        raise TargetError(_broken(place, error)) from error


def _name_of_file(file: Path) -> str:
    """
    The dotted name of a file in its package, so that its relative imports work.
    """
    file = file.resolve()
    if not file.is_file():
        raise TargetError(f"there is no file {file}")
    parts = [file.stem] if file.stem != "__init__" else []
    folder = file.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    _look_in(folder)
    name = ".".join(parts)
    found = sys.modules.get(name)
    other = getattr(found, "__file__", None)
    if found is not None and (other is None or Path(other).resolve() != file):
        name = f"{name}_of_pgultra"  # a file called like a module that is loaded already
        specification = importlib.util.spec_from_file_location(name, file)
        assert specification is not None and specification.loader is not None  # noqa: PT018  # one fact
        module = importlib.util.module_from_spec(specification)
        sys.modules[name] = module
        specification.loader.exec_module(module)
    return name


def _look_in(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _broken(place: str, error: BaseException) -> str:
    """
    What a module raised, and the line of the host's own code that it came from.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if not each.filename.startswith(_LIBRARIES)]
    frame = (own or frames)[-1]
    return (
        f"{place} cannot be imported: {type(error).__name__}: {error} "
        f"({frame.filename}, line {frame.lineno})"
    )


def _attribute(module: ModuleType, place: str, attribute: str) -> Any:  # whatever is there
    found: Any = module
    for word in attribute.split("."):
        if not hasattr(found, word):
            known = [name for name, value in vars(module).items() if _metadata(value) is not None]
            raise TargetError(
                f"{place} has no {attribute!r}"
                + (f"; it has {', '.join(known)}" if known else ", and no other models")
            )
        found = getattr(found, word)
    return found


def _several(value: Any, path: str) -> list[MetaData]:
    values: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    several = [_metadata(each) for each in values]
    found = [each for each in several if each is not None]
    if not found or len(found) < len(several):
        raise TargetError(
            f"{path} is {value!r:.100}, not a declarative base, a MetaData or a list of them"
        )
    return list(dict.fromkeys(found))


def _metadata(value: Any) -> MetaData | None:
    found = value if isinstance(value, MetaData) else getattr(value, "metadata", None)
    return found if isinstance(found, MetaData) else None
