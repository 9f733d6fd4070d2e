"""
The door to documentation: the SQL that a model emits.

In ``conf.py``: ``extensions = ["pgultra.integrations.sphinx"]``; then on a page::

    .. pgultra-sql:: app.models:Article

or in MyST Markdown::

    ```{pgultra-sql} app.models:Article
    :tables:
    ```

Without Sphinx, ``markdown(Article)`` gives the same as Markdown.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from pgultra import __version__
from pgultra.plan.emitted import emitted_objects, emitted_sql

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["EmittedSQL", "emitted_sql", "markdown", "setup"]


def markdown(target: Any, *, tables: bool = False) -> str:
    """
    The SQL that a model emits, as Markdown: a code block under the name of each object.

    Args:
        target: as in ``emitted_sql``.
        tables: with the tables themselves.
    """
    blocks = [
        f"**{name}**\n\n```sql\n{text}\n```"
        for name, text in emitted_objects(target, tables=tables)
    ]
    return "\n\n".join(blocks) + "\n"


class EmittedSQL(SphinxDirective):
    """
    The directive ``pgultra-sql``.

    Its argument is ``module:attribute``: a mapped class, a table, a declarative base or a
    MetaData. With ``:tables:`` the tables are shown, too.
    """

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"tables": directives.flag}

    def run(self) -> list[nodes.Node]:
        """
        One paragraph with its name and one code block for each object.
        """
        place, _, attribute = self.arguments[0].partition(":")
        try:
            target: Any = importlib.import_module(place)
            for word in filter(None, attribute.split(".")):
                target = getattr(target, word)
            found = emitted_objects(target, tables="tables" in self.options)
        except Exception as error:  # whatever a host's module raises: Sphinx names page and line
            raise self.error(f"pgultra-sql {self.arguments[0]}: {error}") from error
        result: list[nodes.Node] = []
        for name, text in found:
            result.append(nodes.paragraph("", "", nodes.strong("", name)))
            block = nodes.literal_block(text, text)
            block["language"] = "postgresql"
            result.append(block)
        return result


def setup(app: Sphinx) -> dict[str, Any]:
    """
    Let Sphinx know the directive.
    """
    app.add_directive("pgultra-sql", EmittedSQL)
    return {"version": __version__, "parallel_read_safe": True, "parallel_write_safe": True}
