"""A mechanism's signed arrows as a layered diagram: causes above, effects below, no two arrows told apart by colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from .figures import GREY, INK, LINES, figure_style
from .mechanism import Edge

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEEPS = 8  # passes that bring neighbours of two layers near each other
COLUMN, ROW = 1.75, 0.78  # distance of two nodes and of two layers [inch]
BOX = (1.5, 0.38)  # of a node [inch]
WIDE = 0.075  # half of a bar [inch]
BAR = 0.03  # distance of a bar from the node that it reaches [inch]
GAP = 0.3  # width of a passing arrow over that of a node
LEAST = 4.2  # width of a diagram [inch]
LETTERS = 21  # of a label's line


def layer_nodes(edges: Sequence[Edge]) -> dict[str, int]:
    """Layer of each node: one below the lowest of its causes; arrows that close a circle are not followed."""
    forward = _without_circles(edges)
    layers = dict.fromkeys((name for e in edges for name in (e.source, e.target)), 0)
    for _ in layers:  # as many passes as the longest path can have arrows
        before = dict(layers)
        for source, target in forward:
            layers[target] = max(layers[target], layers[source] + 1)
        if layers == before:
            break
    sources = {name for name in layers if all(target != name for _, target in forward)}
    for name in sources:  # a cause that nothing causes stands just above its first effect
        layers[name] = min((layers[t] for s, t in forward if s == name), default=1) - 1
    return layers


def _without_circles(edges: Sequence[Edge]) -> list[tuple[str, str]]:
    """Arrows in order, less those that would lead back to where they come from."""
    kept: list[tuple[str, str]] = []
    effects: dict[str, set[str]] = {}
    for edge in edges:
        reached, waiting = set(), [edge.target]
        while waiting:
            name = waiting.pop()
            if name not in reached:
                reached.add(name)
                waiting += effects.get(name, ())
        if edge.source not in reached:
            kept.append((edge.source, edge.target))
            effects.setdefault(edge.source, set()).add(edge.target)
    return kept


@dataclass(frozen=True, slots=True)
class Layout:
    """Places of nodes (column, layer), and for each arrow that passes a layer the places where it does."""

    nodes: Mapping[str, tuple[float, float]]
    passes: Mapping[Edge, tuple[tuple[float, float], ...]]


def place_nodes(edges: Sequence[Edge]) -> Layout:
    """Nodes in layers, within a layer in the order of the mean place of their neighbours; long arrows keep a gap."""
    layers = layer_nodes(edges)
    rows: dict[int, list[object]] = {}
    for name, layer in layers.items():
        rows.setdefault(layer, []).append(name)
    near: dict[object, list[object]] = {name: [] for name in layers}
    for edge in edges:
        chain: list[object] = [edge.source]
        for layer in range(layers[edge.source] + 1, layers[edge.target]):
            chain.append((edge, layer))
            rows[layer].append((edge, layer))
            near[edge, layer] = []
        for one, other in pairwise([*chain, edge.target]):
            near[one].append(other)
            near[other].append(one)
    across = {thing: x for row in rows.values() for thing, x in zip(row, _spread(row), strict=True)}
    for sweep in range(SWEEPS):
        for layer in sorted(rows, reverse=bool(sweep % 2)):
            aims = {thing: float(np.mean([across[m] for m in near[thing]] or [across[thing]])) for thing in rows[layer]}
            rows[layer].sort(key=lambda thing: aims[thing])
            across |= dict(zip(rows[layer], _pulled(rows[layer], aims), strict=True))
    passes = {
        edge: tuple((across[edge, k], float(k)) for k in range(layers[edge.source] + 1, layers[edge.target]))
        for edge in edges
    }
    return Layout({name: (across[name], float(layer)) for name, layer in layers.items()}, passes)


def _widths(row: Sequence[object]) -> list[float]:
    return [1.0 if isinstance(thing, str) else GAP for thing in row]


def _spread(row: Sequence[object]) -> list[float]:
    """Places side by side around the middle."""
    edges = np.cumsum([0.0, *_widths(row)])
    return [float(x) for x in (edges[1:] + edges[:-1]) / 2 - edges[-1] / 2]


def _pulled(row: Sequence[object], aims: Mapping[object, float]) -> list[float]:
    """Places near those aimed at, in order, none closer than their widths: least squares by pooling neighbours."""
    rest = _spread(row)
    pools: list[list[float]] = []  # mean offset, members
    for thing, place in zip(row, rest, strict=True):
        pools.append([aims[thing] - place, 1.0])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, n), (b, m) = pools[-2:]
            pools[-2:] = [[(a * n + b * m) / (n + m), n + m]]
    offsets = [offset for offset, members in pools for _ in range(int(members))]
    return [place + offset for place, offset in zip(rest, offsets, strict=True)]


def plot_diagram(edges: Sequence[Edge], labels: Mapping[str, str]) -> Figure:
    """The arrows of a mechanism: full with a head where the cause raises, dashed with a bar where it lowers."""
    from matplotlib.figure import Figure

    layout = place_nodes(edges)
    every = [*layout.nodes.values(), *(place for passed in layout.passes.values() for place in passed)]
    left, right = (f(x for x, _ in every) for f in (min, max))
    low, high = (f(y for _, y in every) for f in (min, max))
    width, height = (right - left) * COLUMN + BOX[0] + 0.3, (high - low) * ROW + BOX[1] + 0.6
    with figure_style():
        figure = Figure(figsize=(max(width, LEAST), height))
        panel = figure.add_axes((0, 0, 1, 1))
        spare = (max(width, LEAST) - width) / 2
        panel.set_xlim(left * COLUMN - BOX[0] / 2 - 0.15 - spare, right * COLUMN + BOX[0] / 2 + 0.15 + spare)
        panel.set_ylim(high * ROW + BOX[1] / 2 + 0.5, low * ROW - BOX[1] / 2 - 0.1)
        panel.set_axis_off()
        ends = _ends(edges, layout)
        for edge in edges:
            _draw_line(panel, _course(edge, layout, ends), edge.sign > 0)
        for name, (x, y) in layout.nodes.items():
            _draw_node(panel, x * COLUMN, y * ROW, labels.get(name, name))
        _draw_key(panel, high * ROW + BOX[1] / 2 + 0.33)
    return figure


def _ends(edges: Sequence[Edge], layout: Layout) -> dict[tuple[Edge, str], float]:
    """Where along its node an arrow begins and ends [inch from the middle]: side by side, in the order they come."""
    found: dict[tuple[Edge, str], float] = {}
    for name in layout.nodes:
        for role in ("source", "target"):
            here = [e for e in edges if getattr(e, role) == name]
            other = {e: layout.nodes[e.target if role == "source" else e.source][0] for e in here}
            next_to = {e: p[0 if role == "source" else -1][0] for e in here if (p := layout.passes[e])}
            here.sort(key=lambda e: (other | next_to)[e])
            for i, edge in enumerate(here):
                found[edge, role] = (i - (len(here) - 1) / 2) * min(0.24, BOX[0] * 0.8 / len(here))
    return found


def _course(edge: Edge, layout: Layout, ends: Mapping[tuple[Edge, str], float]) -> list[tuple[float, float]]:
    """Corners of an arrow's line [inch]."""
    (x, y), (to_x, to_y) = layout.nodes[edge.source], layout.nodes[edge.target]
    begin, end = x * COLUMN + ends[edge, "source"], to_x * COLUMN + ends[edge, "target"]
    half = BOX[1] / 2
    if edge.source == edge.target:
        side = x * COLUMN + BOX[0] / 2
        return [(side, y * ROW - 0.1), (side + 0.3, y * ROW - 0.1), (side + 0.3, y * ROW + 0.1), (side, y * ROW + 0.1)]
    if to_y == y:
        side = 1 if to_x > x else -1
        return [(x * COLUMN + side * BOX[0] / 2, y * ROW), (to_x * COLUMN - side * BOX[0] / 2, y * ROW)]
    if to_y < y:  # back to a cause: around the side
        side = max(x, to_x) * COLUMN + BOX[0] / 2 + 0.25
        return [
            (x * COLUMN + BOX[0] / 2, y * ROW), (side, y * ROW), (side, to_y * ROW),
            (to_x * COLUMN + BOX[0] / 2, to_y * ROW),
        ]  # fmt: skip
    passed = [(px * COLUMN, py * ROW + shift) for px, py in layout.passes[edge] for shift in (-half, half)]
    return [(begin, y * ROW + half), *passed, (end, to_y * ROW - half)]


def _draw_node(panel: Axes, x: float, y: float, label: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = (x - BOX[0] / 2, y - BOX[1] / 2)
    style = "round,pad=0,rounding_size=0.07"
    panel.add_patch(FancyBboxPatch(corner, *BOX, boxstyle=style, facecolor="white", edgecolor=INK, linewidth=0.9))
    panel.text(x, y, "\n".join(wrap(label, LETTERS)[:2]), ha="center", va="center", fontsize=7.5, linespacing=1.0)


def _draw_line(panel: Axes, corners: Sequence[tuple[float, float]], raises: bool) -> None:
    """A line with a head at its end, or dashed with a bar along the node that it reaches."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    if raises:
        head, path = "-|>,head_length=5,head_width=2.6", Path(list(corners))
        panel.add_patch(
            FancyArrowPatch(path=path, arrowstyle=head, mutation_scale=1, color=LINES[0][0], linewidth=1.3)
        )
        return
    (last_x, last_y), (x, y) = corners[-2:]
    level = abs(y - last_y) < 1e-9
    x, y = (x + np.sign(last_x - x) * BAR, y) if level else (x, y + np.sign(last_y - y) * BAR)
    along = [*corners[:-1], (x, y)]
    colour = LINES[1][0]
    panel.plot([p[0] for p in along], [p[1] for p in along], color=colour, linestyle=(0, (4, 1.6)), linewidth=1.3)
    across = ([x, x], [y - WIDE, y + WIDE]) if level else ([x - WIDE, x + WIDE], [y, y])
    panel.plot(*across, color=colour, linewidth=2.0, solid_capstyle="butt")


def _draw_key(panel: Axes, y: float) -> None:
    left, right = panel.get_xlim()
    for x, raises, word in ((left + 0.2, True, "raises"), ((left + right) / 2 + 0.1, False, "lowers")):
        _draw_line(panel, [(x, y), (x + 0.55, y)], raises)
        panel.text(x + 0.68, y, word, ha="left", va="center", fontsize=7.5, color=GREY)
