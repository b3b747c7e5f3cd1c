"""Trust report as a figure of one page, and as HTML."""

from __future__ import annotations

import base64
from html import escape
from io import BytesIO
from itertools import cycle

import numpy as np

from ..displays import BLUE, GRAY, INK, PALE, PALETTE, VERMILION, CoverageDisplay, PITDisplay, quiet, require_pyplot
from ._findings import Findings
from ._measures import ONE_SIGMA

_SMALL = {"fontsize": "medium", "color": INK}
_MOST_SHOWN = 3  # targets that have panels of their own
_STYLE = """
<style>
.galestim-trust {font: 14px/1.45 system-ui, sans-serif; color: #222; max-width: 1200px}
.galestim-trust table {border-collapse: collapse; margin: .6em 0 1.4em; font-variant-numeric: tabular-nums}
.galestim-trust th, .galestim-trust td {padding: .15em .8em; border-bottom: 1px solid #ddd; text-align: right}
.galestim-trust th {border-bottom: 2px solid #767676}
.galestim-trust .text {text-align: left}
.galestim-trust .missed td {background: #fbe9df}
.galestim-trust img {max-width: 100%}
.galestim-trust summary {cursor: pointer; font-weight: 600; margin: .3em 0}
.galestim-trust .scroll {overflow-x: auto; max-height: 32em; overflow-y: auto}
</style>
"""
_TITLES = {
    "checks": "What is asked",
    "accuracy": "Accuracy: errors of the medians, and their 95 % intervals",
    "scores": "Scores of the joint posteriors",
    "calibration": "Tests of calibration",
    "coverage": "Coverage of equal-tailed intervals",
    "conditional": "Coverage at 1σ in bins",
    "stability": "Change of the posteriors' means with the image",
    "crops": "Where the crops lie",
    "shifts": "Changed copies of the images",
    "novelty": "Novelty of each galaxy",
}


# ---- the figure


def draw(report: Findings, figure=None):
    """Draw the page; see `TrustReport.plot`."""
    plt = require_pyplot("TrustReport.plot")
    figure = plt.figure(figsize=(15, 15.5), layout="constrained") if figure is None else figure
    rows = figure.subfigures(4, 1, height_ratios=[1.25, 0.8, 0.9, 1.2], hspace=0.02)
    _draw_calibration(rows[0], report)
    _draw_accuracy(rows[1], report)
    _draw_conditional(rows[2], report)
    _draw_images(rows[3], report)
    verdict = "everything asked is met" if report.passed else f"{int((~report.checks['met']).sum())} missed"
    missing = f", {report.n_missing:,} missing" if report.n_missing else ""
    figure.suptitle(
        f"Trust report: {report.n_galaxies:,} galaxies{missing}; {verdict}, of {len(report.checks)} checks",
        color=INK,
        fontweight="bold",
    )
    return figure


def _draw_calibration(figure, report: Findings) -> None:
    """Coverage, where truths lie, and the verdicts."""
    left, middle, right = figure.subfigures(1, 3, width_ratios=[1, 1.25, 1.15])
    heights = {"height_ratios": [3, 1.1]}
    judged = report.judged
    CoverageDisplay.from_posterior(
        judged.posterior, judged.y, axes=left.subplots(2, sharex=True, gridspec_kw=heights)
    )
    PITDisplay.from_posterior(
        judged.posterior, judged.y, random_state=judged.random_state, axes=middle.subplots(2, sharex=True)
    )
    left.suptitle("Do intervals hold the truth?", **_SMALL)
    middle.suptitle("Where in the posteriors are the truths?", **_SMALL)
    _write_checks(right.subplots(), report)


def _write_checks(ax, report: Findings) -> None:
    """A line for each check: a filled mark if it is met, an open one if not."""
    ax.set_axis_off()
    n = len(report.checks)
    size = float(np.clip(300 / (n + len(report.left_out) + 2), 5, 9))
    ax.set(xlim=(0, 1), ylim=(n + len(report.left_out) + 0.5, -1.2))
    ax.text(0, -0.9, "What is asked, and what was found", **_SMALL)
    for line, row in enumerate(report.checks):
        color = BLUE if row["met"] else VERMILION
        style = {"fontsize": size, "va": "center", "color": INK if row["met"] else VERMILION}
        ax.plot(0.01, line, marker="o", color=color, markerfacecolor=color if row["met"] else "white", markersize=4)
        ax.text(0.04, line, row["check"].replace("_", " "), **style)
        ax.text(0.74, line, f"{row['found']:.3g}", ha="right", **style)
        ax.text(0.76, line, f"{row['rule']} {row['limit']:.3g}", **style)
        ax.text(1.0, line, "met" if row["met"] else "missed", ha="right", **style)
    for line, name in enumerate(report.left_out):
        ax.text(0.04, n + line, f"{name}: left out", fontsize=size, va="center", color=GRAY)


def _draw_accuracy(figure, report: Findings) -> None:
    """Bias and scatter of each target in bins."""
    figure.suptitle("How far off are the medians? Bias (points, 95 %) and scatter (band)", **_SMALL)
    feature = next(iter(report.judged.features))
    names = report.judged.names[:_MOST_SHOWN]
    for ax, name, color in zip(np.ravel(figure.subplots(1, len(names), squeeze=False)), names, cycle(PALETTE)):
        rows = report.accuracy[(report.accuracy["target"] == name) & (report.accuracy["subset"] == feature)]
        center = (rows["from"] + rows["to"]) / 2
        ax.fill_between(center, -rows["scatter"], rows["scatter"], color=PALE, linewidth=0)
        ax.axhline(0, color=GRAY, linewidth=1, linestyle=(0, (5, 3)))
        errors = np.abs([rows["bias"] - rows["bias_low"], rows["bias_high"] - rows["bias"]])
        ax.errorbar(center, rows["bias"], errors, fmt="o", markersize=4, color=color, linewidth=1)
        unit = f" [{rows['unit'][0]}]" if rows["unit"][0] else ""
        ax.set(xlabel=_words(feature), ylabel=f"{_words(name)}, error{unit}")
        if feature.endswith("flux") and (center > 0).all():
            ax.set_xscale("log")
        quiet(ax)


def _draw_conditional(figure, report: Findings) -> None:
    """Coverage at 1σ in bins, as a map for each target; bins that do not agree are outlined."""
    figure.suptitle("Do 68 % intervals hold 68 %, of every kind of galaxy? (outlined: not by chance)", **_SMALL)
    features, names = list(report.judged.features), report.judged.names[:_MOST_SHOWN]
    axes = np.ravel(figure.subplots(1, len(names), squeeze=False))
    for ax, name in zip(axes, names):
        rows = report.conditional[report.conditional["target"] == name]
        image = _map(ax, rows, features)
        ax.set_title(_words(name), **_SMALL)
        ax.set_xlabel(_words(features[0]))
        ax.set_ylabel(_words(features[1]) if len(features) > 1 else "")
    bar = figure.colorbar(image, ax=list(axes), shrink=0.9, pad=0.01, ticks=[0.5, 0.6, ONE_SIGMA, 0.8, 0.9])
    bar.ax.set_yticklabels(["50 %", "60 %", "68 %", "80 %", "90 %"])
    bar.outline.set_visible(False)


def _map(ax, rows, features: list[str]):
    """Squares of equal size, in the order of the bins."""
    places = []
    for feature in features:
        starts, ends = (np.asarray(rows[f"{feature}_{end}"]) for end in ("from", "to"))
        edges = np.unique(np.r_[starts, ends])
        places.append((np.searchsorted(edges, starts), [_short(edge) for edge in edges]))
    places = places if len(places) > 1 else [*places, (np.zeros(len(rows), dtype=int), ["", ""])]
    (column, x_labels), (line, y_labels) = places
    grid = np.full((len(y_labels) - 1, len(x_labels) - 1), np.nan)
    grid[line, column] = rows["coverage"]
    image = ax.imshow(grid, origin="lower", cmap="PuOr", vmin=2 * ONE_SIGMA - 0.9, vmax=0.9, aspect="auto")
    for x, y, row in zip(column, line, rows):
        dark = abs(row["coverage"] - ONE_SIGMA) > 0.13
        shown = f"{100 * row['coverage']:.0f}"
        ax.text(x, y, shown, ha="center", va="center", fontsize="small", color="white" if dark else INK)
        if not row["agrees"]:
            ax.plot(x + np.array([-1, 1, 1, -1, -1]) * 0.47, y + np.array([-1, -1, 1, 1, -1]) * 0.47, color=INK)
    ax.set_xticks(np.arange(len(x_labels)) - 0.5, x_labels, fontsize="small")
    ax.set_yticks(np.arange(len(y_labels)) - 0.5, y_labels, fontsize="small")
    ax.spines[:].set_visible(False)
    return image


def _draw_images(figure, report: Findings) -> None:
    """Stability and novelty, or that they were left out."""
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.1])
    for ax, table, drawing, section in (
        (left, report.stability, _draw_stability, "stability"),
        (right, report.shifts, _draw_novelty, "novelty"),
    ):
        if table is None:
            ax.set_axis_off()
            ax.text(0, 1, f"{section}: left out.", va="top", transform=ax.transAxes, **_SMALL)
        else:
            drawing(ax, report)
            quiet(ax)


def _draw_stability(ax, report: Findings) -> None:
    """Change in posterior σ on a logarithmic scale."""
    table = report.tables()["stability"]
    kinds = list(dict.fromkeys(table["change"]))
    floor = 1e-7
    for offset, name, color, marker in zip(
        np.linspace(-0.2, 0.2, len(report.judged.names)), report.judged.names, cycle(PALETTE), cycle("osD^vP")
    ):
        rows = table[table["target"] == name]
        typical, largest = (np.maximum(rows[column], floor) for column in ("std_in_sigma", "largest_in_sigma"))
        lines = np.arange(len(rows)) + offset
        ax.hlines(lines, typical, largest, color=color, linewidth=1, alpha=0.5)
        ax.plot(typical, lines, marker, color=color, markersize=6, label=_words(name))
        ax.plot(largest, lines, "|", color=color, markersize=7)
    limits = {row["check"].rsplit(",", 1)[0]: row["limit"] for row in report.checks if row["section"] == "stability"}
    for line, kind in enumerate(kinds):
        ax.plot([limits[kind]] * 2, [line - 0.38, line + 0.38], color=INK, linewidth=2)
    ax.set_xscale("log")
    ax.set(xlim=(floor / 2, None), ylim=(len(kinds) - 0.5, -0.5), xlabel="change of the mean [posterior σ]")
    ax.set_yticks(range(len(kinds)), kinds)
    ax.set_title("Does it stay where only the image changes? (mark: rms; stroke: largest; bar: limit)", **_SMALL)
    ax.legend(frameon=False, fontsize="small", loc="lower left", labelcolor=INK)


def _draw_novelty(ax, report: Findings) -> None:
    """Distribution of the scores of unchanged and changed images."""
    softened = {name: np.arcsinh(values) for name, values in report.decisions.items()}
    low, high = np.quantile(np.concatenate(list(softened.values())), [0.002, 1])
    edges = np.linspace(low, high, 45)
    rows = {row["variant"]: row for row in report.tables()["shifts"]}
    for (name, values), color in zip(softened.items(), [GRAY, *PALETTE]):
        auroc = "" if name == "unchanged" else f", AUROC {rows[name]['auroc']:.3f}"
        label = f"{name}: {100 * rows[name]['flagged']:.0f} % flagged{auroc}"
        options = {"histtype": "stepfilled", "alpha": 0.35} if name == "unchanged" else {"histtype": "step"}
        ax.hist(np.clip(values, edges[0], edges[-1]), edges, color=color, label=label, linewidth=1.5, **options)
    ticks = np.array([-10000, -1000, -100, -10, -1, 0, 1])
    ticks = ticks[(np.arcsinh(ticks) >= edges[0]) & (np.arcsinh(ticks) <= edges[-1])]
    ax.set_xticks(np.arcsinh(ticks), [f"{tick:,}" for tick in ticks])
    ax.axvline(0, color=INK, linewidth=1)
    ax.set_ylim(0, 1.35 * ax.get_ylim()[1])  # room for the legend
    ax.set(xlabel="decision function (flagged below 0)", ylabel="galaxies")
    ax.set_title("Is it seen that an image is unlike those known?", **_SMALL)
    ax.legend(frameon=False, fontsize="small", loc="upper left", labelcolor=INK)


def _short(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def _words(name: str) -> str:
    return name.replace("_", " ")


# ---- HTML


def as_html(report: Findings, *, whole: bool) -> str:
    """Verdict, figure and tables; as a document of its own, or as a part of a notebook."""
    n_met, n = int(report.checks["met"].sum()), len(report.checks)
    parts = [
        _STYLE,
        '<div class="galestim-trust">',
        f"<h2>Trust report</h2><p><b>{n_met} of {n} met</b>, of {report.n_galaxies:,} galaxies"
        + (f"; {report.n_missing:,} missing cutouts were left out" if report.n_missing else "")
        + ".</p>",
        *(f"<p>Left out: {escape(name)}. {escape(why)}</p>" for name, why in report.left_out.items()),
        _figure(report),
        *(_section(name, table) for name, table in report.tables().items()),
        "</div>",
    ]
    body = "\n".join(parts)
    if not whole:
        return body
    head = '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Trust report</title></head>'
    return f"{head}\n<body>{body}</body></html>\n"


def _figure(report: Findings) -> str:
    """The figure, within the text."""
    plt = require_pyplot("TrustReport.to_html")
    figure = draw(report, None)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    plt.close(figure)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="The report as a figure" src="data:image/png;base64,{encoded}">'


def _section(name: str, table) -> str:
    """A table that unfolds; the first is open."""
    numeric = [column.dtype.kind in "fiu" for column in table.itercols()]
    classes = ["" if number else ' class="text"' for number in numeric]
    head = "".join(f"<th{kind}>{escape(_words(column))}</th>" for kind, column in zip(classes, table.colnames))
    lines = [
        f"<tr{_row_class(row)}>"
        + "".join(f"<td{kind}>{escape(_shown(value))}</td>" for kind, value in zip(classes, row))
        + "</tr>"
        for row in table
    ]
    return (
        f"<details{' open' if name == 'checks' else ''}><summary>{escape(_TITLES[name])}</summary>"
        f'<div class="scroll"><table><tr>{head}</tr>\n' + "\n".join(lines) + "\n</table></div></details>"
    )


def _row_class(row) -> str:
    bad = ("met" in row.colnames and not row["met"]) or ("agrees" in row.colnames and not row["agrees"])
    return ' class="missed"' if bad else ""


def _shown(value) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.4g}"
    return str(value)
