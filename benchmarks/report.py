"""
The pages of docs/benchmarks, made of the results that lie beside them.

``python -m benchmarks.report`` makes the pages again; a test compares them with the results.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["PAGES", "page", "pages", "read", "write"]

PAGES = Path(__file__).parents[1] / "docs" / "benchmarks"
RESULTS = "results"
ORDER = ("kernel", "soft_delete", "search", "relevance", "embeddings", "encryption", "partitions")
REASONS = {
    "kernel": (
        "The kernel's ends at 1,050 objects, of 450 tables, and not at a million rows:"
        " no schema has a million triggers."
    ),
    "relevance": (
        "Relevance has none: its figures are of what is found and not of how fast,"
        " and a collection of questions has the size that it has."
    ),
}
"""Where a room's curve is not of 10,000 to a million rows, why."""


def read(folder: Path = PAGES) -> dict[str, dict[str, Any]]:
    """
    The results by room, in the order of the pages.
    """
    found = {path.stem: json.loads(path.read_text()) for path in folder.glob(f"{RESULTS}/*.json")}
    return {room: found[room] for room in sorted(found, key=_place)}


def pages(results: dict[str, dict[str, Any]]) -> dict[str, str]:
    """
    The text of every page by file name.
    """
    return {
        "index.md": _index(results),
        **{f"{room}.md": page(room, result) for room, result in results.items()},
    }


def write(folder: Path = PAGES) -> None:
    """
    Make all pages and pictures of the results.
    """
    from benchmarks import plots  # which needs matplotlib

    results = read(folder)
    for name, text in pages(results).items():
        (folder / name).write_text(text)
    for room, result in results.items():
        plots.bars(result["figures"], folder / f"{room}.svg")
        if result["curves"]:
            plots.curves(result["curves"], folder / f"{room}-growth.svg")


def page(room: str, result: dict[str, Any]) -> str:
    """
    One room's page.
    """
    blocks = [
        f"# {_title(room)}",
        _taken(result),
        f"```{{image}} {room}.svg\n:alt: each figure as a share of its bar\n```",
        _table(
            ("what", "ours", "against", "ratio", "bar", ""), map(_row, result["figures"]), "lllrrl"
        ),
    ]
    notes = [f"- **{each['name']}**: {each['note']}" for each in result["figures"] if each["note"]]
    if notes:
        blocks.append("\n".join(notes))
    if result["curves"]:
        blocks += [
            "## How it grows",
            f"```{{image}} {room}-growth.svg\n:alt: time by size, both sides\n```",
            *map(_growth, result["curves"]),
        ]
    return "\n\n".join(blocks) + "\n"


def _index(results: dict[str, dict[str, Any]]) -> str:
    kept = [
        sum(each["holds"] for each in result["figures"] if _wanted(each))
        for result in results.values()
    ]
    rows = [
        (f"[{_title(room)}]({room}.md)", f"{good} of {_barred(result)}", _missed(result))
        for (room, result), good in zip(results.items(), kept, strict=True)
    ]
    return "\n".join(
        (
            "# Measured",
            "",
            (
                "Every figure compares two sides that took turns in the same run,"
                " on the same server, as a ratio: of their medians, or, where a figure is marked"
                " with *, as the median of the ratios of their rounds, since a machine may be quick"
                " in one hour and slow in the next."
            ),
            (
                "The absolute times are those of one small shared machine and say little;"
                " the ratios carry over."
            ),
            (
                "Where a page says that processors were kept awake, they did not halt while client"
                " and server waited for each other: on a virtual machine, waking one takes longer"
                " than a short query, and depends on who else uses the machine."
                " `--halting` measures with them as they are."
            ),
            (
                "A bar is what the project promises itself."
                " A figure that misses its bar is shown like any other,"
                " and `nox -s bench -- --strict` fails on it."
            ),
            "",
            "To take them yourself: `nox -s bench`, or `nox -s bench -- search` for one room.",
            "`--growth` adds the curves, `--docs` writes these pages.",
            "",
            _table(("room", "bars kept", "missed"), rows, "lrl"),
            "",
            "## How cost grows",
            "",
            "Each room's page shows its headline figure at several sizes, as a curve.",
            *(reason for room, reason in REASONS.items() if room in results),
            "",
            _table(("room", "headline figure", "against", "sizes"), _curves(results), "lllr"),
            "",
            "```{toctree}",
            ":hidden:",
            "",
            *results,
            "```",
            "",
        )
    )


def _curves(results: dict[str, dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for room, result in results.items():
        for curve in result["curves"]:
            first, *_, last = curve["sizes"]
            sizes = f"{first:,} to {last:,} {curve['unit']}"
            yield (f"[{_title(room)}]({room}.md)", curve["name"], list(curve["seconds"])[1], sizes)


_PAIRED = "\\*"  # a star that Markdown leaves alone


def _barred(result: dict[str, Any]) -> int:
    return sum(bool(_wanted(each)) for each in result["figures"])


def _missed(result: dict[str, Any]) -> str:
    return "; ".join(
        f"{each['name']}: {_ratio(each)} ({_wanted(each)})"
        for each in result["figures"]
        if not each["holds"]
    )


def _taken(result: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    server = ", ".join(f"{name} {number}" for name, number in result.get("server", {}).items())
    return (
        f"Taken on {result['taken']} with {server or 'PostgreSQL ' + str(result['postgresql'])},"
        f" Python {result['python']}, {packages};\n"
        f"{result['machine']}."
    )


def _row(figure: dict[str, Any]) -> tuple[str, ...]:
    wanted = _wanted(figure)
    return (
        figure["name"],
        _side(figure, "ours"),
        _side(figure, "theirs"),
        f"**{_ratio(figure)}**{_PAIRED if figure.get('paired') else ''}",
        wanted,
        ("kept" if figure["holds"] else "**missed**") if wanted else "",
    )


def _ratio(figure: dict[str, Any]) -> str:
    """
    As many digits as tell it from its bar.
    """
    text = _number(figure["ratio"])
    if not figure["holds"] and figure["bar"] and float(text) == float(figure["bar"].split()[1]):
        return f"{figure['ratio']:.4g}"
    return text


def _wanted(figure: dict[str, Any]) -> str:
    """
    Its bar, and what must hold beside it.
    """
    return "; ".join(_sign(each) for each in (figure["bar"], *figure.get("conditions", ())) if each)


def _side(figure: dict[str, Any], side: str) -> str:
    label = figure[side]
    told = f"{label}: {_time(figure['median_seconds'][label])}"
    if label in figure["spread_seconds"]:
        low, high = figure["spread_seconds"][label]
        told += f" ({_time(low)} to {_time(high)})"
    return told


def _growth(curve: dict[str, Any]) -> str:
    heads = (curve["unit"], *curve["seconds"])
    columns = zip(curve["sizes"], *curve["seconds"].values(), strict=True)
    rows = [(f"{size:,}", *map(_time, times)) for size, *times in columns]
    return f"**{curve['name']}**\n\n" + _table(heads, rows, "r" * len(heads))


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]], sides: str) -> str:
    return "\n".join(_lines(heads, rows, sides))


def _lines(heads: Iterable[str], rows: Iterable[Iterable[str]], sides: str) -> Iterator[str]:
    for number, row in enumerate([tuple(heads), *map(tuple, rows)]):
        yield "| " + " | ".join(each.replace("|", "\\|") for each in row) + " |"
        if number == 0:
            yield "|" + "|".join("---:" if side == "r" else "---" for side in sides) + "|"


def _time(seconds: float) -> str:
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1, 1e3, "ms")):
        if seconds < limit:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


def _number(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.3g}"


def _sign(bar: str) -> str:
    return bar.replace("<=", "≤").replace(">=", "≥")


def _title(room: str) -> str:
    return room.replace("_", " ").capitalize()


def _place(room: str) -> tuple[int, str]:
    return (ORDER.index(room) if room in ORDER else len(ORDER), room)


if __name__ == "__main__":
    write()
