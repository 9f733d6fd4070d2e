"""
The statements behind one that was sent for many, as ``together`` does.
"""

from __future__ import annotations

import re

BLOCK = re.compile(r"DO \$(\w*)\$BEGIN\n(EXECUTE .*)\nEND\$\1\$\Z", re.DOTALL)
EXECUTED = re.compile(r"^EXECUTE (E?)'((?:[^']|'')*)';$", re.MULTILINE)
ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def apart(text: str) -> list[str]:
    r"""
    What is executed by a statement, as a driver was given it.

    >>> apart("DO $$BEGIN\nEXECUTE 'SELECT 1';\nEXECUTE 'SELECT 2';\nEND$$")
    ['SELECT 1', 'SELECT 2']
    >>> apart("SELECT 3 %% 2")
    ['SELECT 3 % 2']
    """
    text = text.replace("%%", "%")
    found = BLOCK.match(text)
    if found is None:
        return [text]
    return [_plain(escaped, each) for escaped, each in EXECUTED.findall(found[2])]


def _plain(escaped: str, literal: str) -> str:
    text = literal.replace("''", "'")
    return (
        ESCAPED.sub(lambda found: "\t" if found[1] == "t" else found[1], text) if escaped else text
    )
