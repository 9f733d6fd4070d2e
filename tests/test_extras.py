"""
Rooms are imported when they are named, and say what to install where a library is lacking.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest

import pgultra

if TYPE_CHECKING:
    from types import ModuleType


@pytest.fixture
def unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Nothing was named yet.
    """
    for name in ("embeddings", "encryption", "search", "EncryptedColumn", "SoftDelete"):
        monkeypatch.delitem(vars(pgultra), name, raising=False)


def lacking(name: str) -> Any:
    """
    An import that does not find a module.
    """

    def find(_wanted: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    return find


@pytest.mark.usefixtures("unnamed")
@pytest.mark.parametrize(
    ("wanted", "module", "words"),
    [
        ("EncryptedColumn", "cryptography", r"encryption needs cryptography: .*\[encryption\]"),
        ("encryption", "cryptography", r"pip install 'pgultra\[encryption\]'"),
        ("embeddings", "pgvector", r"embeddings needs pgvector: pip install 'pgultra\[vector\]'"),
    ],
)
def test_what_to_install(
    monkeypatch: pytest.MonkeyPatch, wanted: str, module: str, words: str
) -> None:
    """
    With the extra's name, and the module's for who catches it.
    """
    monkeypatch.setattr(importlib, "import_module", lacking(module))
    with pytest.raises(ImportError, match=words) as caught:
        getattr(pgultra, wanted)
    assert caught.value.name == module


@pytest.mark.usefixtures("unnamed")
@pytest.mark.parametrize(
    ("wanted", "module"), [("search", "anything"), ("encryption", "pgultra.features.encryption.x")]
)
def test_what_no_extra_would_bring(
    monkeypatch: pytest.MonkeyPatch, wanted: str, module: str
) -> None:
    """
    A fault of ours, or of the installation, stays what it is.
    """
    monkeypatch.setattr(importlib, "import_module", lacking(module))
    with pytest.raises(ModuleNotFoundError, match=module):
        getattr(pgultra, wanted)


def test_names_that_are_none() -> None:
    """
    As any module says it; and what there is, is listed.
    """
    with pytest.raises(AttributeError, match="module 'pgultra' has no attribute 'nonsense'"):
        pgultra.nonsense  # type: ignore[attr-defined]  # noqa: B018  # which is the test
    assert {"SoftDelete", "embeddings", "search"} <= set(dir(pgultra))
    assert pgultra.__version__
