"""
A mark with a fingerprint of what the server prints: by it a change in place is seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgultra import sql

if TYPE_CHECKING:
    from pgultra.objects._mark import Mark

__all__ = ["remark_with_print"]

REMARK = """DECLARE
    path text := current_setting('search_path');
    made regclass := {name};
    printed text;
BEGIN
    PERFORM set_config('search_path', quote_ident(coalesce(current_schema(), 'public')), true);
    printed := {printer}(made);
    PERFORM set_config('search_path', path, true);
    EXECUTE format('COMMENT ON {kind} %s IS %L', {name}, {text} || ':' ||
        left(encode(sha256(convert_to(printed, 'UTF8')), 'hex'), 12));
END"""


def remark_with_print(
    kind: str, name: str, *, printer: str, comment: str | None, mark: Mark
) -> tuple[str, ...]:
    """
    The statement that writes comment and mark; the server takes the fingerprint.

    Args:
        kind: ``VIEW`` or ``INDEX``.
        name: its quoted name.
        printer: the function that prints it.
        comment: the user's own text above the mark.
        mark: with the fingerprint of the declared text.
    """
    text = f"{comment}\n{mark}" if comment else str(mark)
    body = REMARK.format(kind=kind, name=sql.literal(name), printer=printer, text=sql.literal(text))
    return (f"DO {sql.dollar(body)}",)
