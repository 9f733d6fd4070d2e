from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from pgultra.integrations.embedded import wheel_binaries
from tests.docs.follower import Follower, alike
from tests.docs.pages import DOCS, blocks, pages_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TUTORIAL = DOCS / "tutorial" / "index.md"
SECONDS = 300
"""What its commands may take, without installing, on a machine that has other things to do."""


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.timeout(900)  # a minute of pip, and forty programs in half a minute
@pytest.mark.skipif(wheel_binaries() is None, reason="the tutorial runs the embedded server")
def test_the_tutorial_works_as_it_is_written(
    tmp_path: Path, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """
    In an empty folder, its files and commands lead from page to page to what it shows.

    What it installs by its own lines is enough: nothing of this run's environment is there.
    Of the ten minutes that it promises, the machine takes few.
    """
    with Follower(tmp_path, installs=True) as reader:
        for page in pages_of(TUTORIAL):
            reader.follow(blocks(page))
            record_testsuite_property(
                f"tutorial, seconds to the end of {page.stem}", round(reader.seconds)
            )
        assert reader.seconds < SECONDS


def test_the_pipeline_of_the_tutorial_has_its_commands() -> None:
    """
    What the workflow installs and runs, in that order, the reader has installed and run before.
    """
    found = [block for page in pages_of(TUTORIAL) for block in blocks(page)]
    typed = {line for each in found if each.language == "console" for line in each.text.split("\n")}
    (workflow,) = (each.text for each in found if each.language == "yaml")
    steps = yaml.safe_load(workflow)["jobs"]["migrations"]["steps"]
    install, *commands = [step["run"] for step in steps if "run" in step]
    assert install.startswith("pip install 'pgultra[")
    assert [command for command in commands if command not in typed] == []
    assert commands[0] == "alembic upgrade head"


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("two\nlines\n", "two\nlines", True),
        ("two\nlines\n", "two\n", False),
        ("a … d", "a b c d", True),
        ("…\nd", "a\nb\nd\n", True),
        ("…\nd", "a\nb\n", False),
        ("", "something", False),
        ("a   b", "a b", True),
        ("1.0 (x)", "100 (x)", False),
    ],
)
def test_what_is_printed_is_compared(expected: str, printed: str, same: bool) -> None:
    """
    An ellipsis is anything, a run of spaces any run of spaces, and the rest must be the same.
    """
    assert alike(expected, printed) is same
