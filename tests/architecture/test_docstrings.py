from __future__ import annotations

import doctest

import pytest

from tests.architecture.source import MODULES, load

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name: str) -> None:
    """
    Each ``>>>`` prints what the docstring says it prints.
    """
    result = doctest.testmod(load(name), optionflags=FLAGS)
    assert result.failed == 0
