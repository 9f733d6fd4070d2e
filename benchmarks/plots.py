"""
The pictures of docs/benchmarks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["bars", "curves"]

KEPT, MISSED, GREY = "#2f855a", "#c53030", "#718096"
mpl.rcParams.update({"svg.hashsalt": "pgultra", "font.size": 9, "axes.spines.top": False})


def bars(figures: list[dict[str, Any]], path: Path) -> None:
    """
    Each figure as a share of its bar, on a logarithmic axis: left of the line it is kept.
    """
    shown = [each for each in figures if each["bar"]][::-1]
    picture, axes = plt.subplots(figsize=(8.5, 0.9 + 0.34 * max(1, len(shown))))
    for place, figure in enumerate(shown):
        share = _share(figure)
        colour = KEPT if figure["holds"] else MISSED
        axes.plot([1, share], [place, place], color=colour, linewidth=2)
        axes.plot([share], [place], "o", color=colour)
        text = f"{figure['ratio']:.3g}"
        side = "left" if share > 1 else "right"
        axes.annotate(
            text,
            (share, place),
            textcoords="offset points",
            xytext=(7 if share > 1 else -7, 0),
            va="center",
            ha=side,
        )
    axes.axvline(1, color=GREY, linewidth=1)
    axes.set_xscale("log")
    shares = [_share(each) for each in shown] or [1]
    axes.set_xlim(min(0.3, min(shares) / 1.7), max(2.0, max(shares) * 1.7))
    axes.set_yticks(range(len(shown)), [_short(each) for each in shown])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes.set_xlabel("share of the bar: left of 1 it is kept")
    axes.spines["right"].set_visible(False)
    _save(picture, path)


def curves(found: list[dict[str, Any]], path: Path) -> None:
    """
    Time by size on logarithmic axes, one panel for each curve.
    """
    across = min(2, len(found))
    down = -(-len(found) // across)
    picture, panels = plt.subplots(down, across, figsize=(4.3 * across, 3.1 * down), squeeze=False)
    for panel, curve in zip(panels.flat, found, strict=False):
        for label, times in curve["seconds"].items():
            panel.loglog(curve["sizes"], [1000 * each for each in times], marker="o", label=label)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
            axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
        panel.set_title(curve["name"], fontsize=9)
        panel.set_xlabel(curve["unit"])
        panel.set_ylabel("ms")
        panel.legend(frameon=False, fontsize=8)
        panel.spines["right"].set_visible(False)
    for panel in list(panels.flat)[len(found) :]:
        panel.set_visible(False)
    _save(picture, path)


def _share(figure: dict[str, Any]) -> float:
    relation, limit = figure["bar"].split()
    share = figure["ratio"] / float(limit)
    return max(share if relation == "<=" else 1 / share, 1e-4)


def _short(figure: dict[str, Any]) -> str:
    name, bar = figure["name"], figure["bar"].replace("<=", "≤").replace(">=", "≥")
    return f"{name if len(name) < 58 else name[:56] + '…'}  {bar}"


def _save(picture: Any, path: Path) -> None:
    picture.tight_layout()
    picture.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(picture)
    text = path.read_text()
    path.write_text(re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE))
