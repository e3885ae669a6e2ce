"""From stream records to the published numbers: means per look, per kind and over all.

`docs/evaluation.md` defines each name. Ratios are ratios of sums over the group, so that streams
with a tiny denominator do not decide them.
"""

from collections.abc import Mapping, Sequence

from everframe.core.config import to_dict
from everframe.evaluate.perceptual import NAME as PERCEPTUAL_NAME
from everframe.evaluate.quality import StreamRecord
from everframe.evaluate.warp import ERROR_FLOOR

Summary = dict[str, float]
"""Name of a number -> value; a number that could not be taken is absent."""

KINDS = ("colour", "plain", "hidden")
MIN_GAIN_DB = 0.5
"""State kept is left out where memory gains less than this at the first mark: nothing to keep."""

LOSS_FLOOR = 1e-6
"""Added to both losses of the history-use ratio (60 dB): two perfect frames give 1, not 0 / 0."""

TABLE_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("PSNR", "output.psnr", ".2f"),
    ("camera", "camera.psnr", ".2f"),
    ("map", "colour_map.psnr", ".2f"),
    ("SSIM", "output.ssim", ".3f"),
    (PERCEPTUAL_NAME, "output.perceptual", ".3f"),
    ("top-1", "output.top1", ".2f"),
    ("warp", "warp_ratio", ".2f"),
    ("grid", "output.blockiness", ".2f"),
    ("sharp", "output.sharpness", ".2f"),
    ("flicker", "flicker", ".2f"),
    ("history", "history_use", ".2f"),
)


def summarise(records: Sequence[StreamRecord]) -> Summary:
    """The numbers of one group of streams, each stream with the same weight."""
    summary: Summary = {"streams": float(len(records))}
    for method in _keys([r.scores for r in records]):
        scores = [r.scores[method] for r in records if method in r.scores]
        _put_means(summary, f"{method}.", scores)
    _put_means(summary, "psnr@", [r.windows for r in records])
    _put_means(summary, "prompts.", [r.prompts for r in records])
    flickers = [{"flicker": r.flicker} for r in records if r.flicker is not None]
    _put_means(summary, "", [{"frame_ms": r.frame_ms} for r in records] + flickers)
    warped = [r.warp for r in records if r.warp]
    if warped:
        summary["warp_ratio"] = sum(w["output"] + ERROR_FLOOR for w in warped) / sum(
            w["target"] + ERROR_FLOOR for w in warped
        )
    used = [r.history for r in records if r.history]
    if used:
        summary["history_use"] = sum(h["other"] + LOSS_FLOOR for h in used) / sum(
            h["true"] + LOSS_FLOOR for h in used
        )
    return summary | state_kept(records)


def state_kept(records: Sequence[StreamRecord]) -> Summary:
    """State kept at every mark but the first: 1 remembers all, 0 is no better than no memory."""
    gains = [r.memory for r in records if r.memory]
    if not gains:
        return {}
    first, *later = sorted(gains[0], key=int)
    at_first = sum(gain[first] for gain in gains) / len(gains)
    kept: Summary = {f"memory_gain@{first}": at_first}
    if at_first >= MIN_GAIN_DB:
        for mark in later:
            kept[f"state_kept@{mark}"] = sum(gain[mark] for gain in gains) / len(gains) / at_first
    return kept


def build_report(records: Sequence[StreamRecord], about: dict[str, object]) -> dict[str, object]:
    """Everything for `quality.json`: what was run, summaries, and the records themselves."""
    looks = list(dict.fromkeys(record.look for record in records))
    kinds = [kind for kind in KINDS if any(record.kind == kind for record in records)]
    return {
        "about": about,
        "perceptual": PERCEPTUAL_NAME,
        "overall": summarise(records),
        "kinds": {kind: summarise([r for r in records if r.kind == kind]) for kind in kinds},
        "looks": {look: summarise([r for r in records if r.look == look]) for look in looks},
        "streams": [to_dict(record) for record in records],
    }


def format_table(records: Sequence[StreamRecord]) -> str:
    """An aligned text table: one row per look, then per kind, then over all."""
    looks = list(dict.fromkeys(record.look for record in records))
    groups = [(look, [r for r in records if r.look == look]) for look in looks]
    groups += [(f"[{kind}]", [r for r in records if r.kind == kind]) for kind in KINDS]
    groups.append(("[all]", list(records)))
    summaries = [(name, summarise(group)) for name, group in groups if group]
    marks = [key for key in summaries[-1][1] if key.startswith(("psnr@", "state_kept@"))]
    columns = [*TABLE_COLUMNS[:1], *((key, key, ".2f") for key in marks), *TABLE_COLUMNS[1:]]
    columns = [column for column in columns if any(column[1] in s for _, s in summaries)]
    rows = [["", *(title for title, _, _ in columns)]]
    for name, summary in summaries:
        cells = [format(summary[key], form) if key in summary else "-" for _, key, form in columns]
        rows.append([name, *cells])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0])] + [row[i].rjust(widths[i]) for i in range(1, len(row))])
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def _keys(parts: Sequence[Mapping[str, object]]) -> list[str]:
    """All keys, in order of first appearance."""
    return list(dict.fromkeys(key for part in parts for key in part))


def _put_means(summary: Summary, prefix: str, parts: Sequence[Mapping[str, float]]) -> None:
    """Add, for each key, its mean over the parts that have it."""
    for key in _keys(parts):
        values = [part[key] for part in parts if key in part]
        summary[prefix + key] = sum(values) / len(values)
