from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.hosts.stage import Application

pytestmark = pytest.mark.once


@pytest.mark.parametrize(("everything", "outcome"), [(True, pytest.fail), (False, pytest.skip)])
def test_a_host_whose_package_is_lacking(everything: bool, outcome: Any) -> None:
    """
    Its tests are skipped, and fail where everything was promised to be there.
    """
    config: Any = SimpleNamespace(getoption=lambda name: everything)
    application = Application("lost", needs=("a-package-that-nobody-has",))
    with pytest.raises(outcome.Exception, match="a-package-that-nobody-has is not installed"):
        application.insist(config)
