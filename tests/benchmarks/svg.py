"""Bar charts as SVG: bars in groups, with the spread of each bar and a mark
where the limit lies. Text and numbers only; nothing to load, no script."""

import dataclasses
import html

_LABEL_WIDTH = 150
_PLOT_WIDTH = 480
_VALUE_WIDTH = 110
_BAR_HEIGHT = 18
_BAR_GAP = 4
_GROUP_GAP = 26
_TOP = 46
_COLORS = ("#1f6feb", "#79b8ff", "#d9822b", "#8a8f98", "#b9bec6", "#5c6b77")
_INK = "#1b1f24"
_FAINT = "#6a737d"


@dataclasses.dataclass(frozen=True)
class Bar:
    label: str
    value: float
    low: float
    high: float
    limit: float = 0  # 0: none


def number(value):
    """With three figures that count, and no exponent."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if value >= 0.1 else f"{value:.2g}"


def _text(x, y, content, color=_INK, size=12, weight="normal", anchor="start"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" '
            f'font-size="{size}" font-weight="{weight}" '
            f'text-anchor="{anchor}">{html.escape(content)}</text>')


def _line(x1, y1, x2, y2, color, width):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{color}" stroke-width="{width}"/>')


def _bar(bar, y, scale, color):
    middle = y + _BAR_HEIGHT / 2
    x = _LABEL_WIDTH
    parts = [
        _text(x - 8, middle + 4, bar.label, anchor="end"),
        f'<rect x="{x}" y="{y:.1f}" width="{bar.value * scale:.1f}" '
        f'height="{_BAR_HEIGHT}" fill="{color}"/>',
    ]
    if bar.high > bar.low:
        parts.append(_line(x + bar.low * scale, middle,
                           x + bar.high * scale, middle, _INK, 1))
    if bar.limit > 0:
        at = x + bar.limit * scale
        parts.append(_line(at, y - 1, at, y + _BAR_HEIGHT + 1, "#c9252d", 2))
    end = max(bar.value, bar.high, bar.limit) * scale
    parts.append(_text(x + end + 6, middle + 4, number(bar.value)))
    return parts


def bar_chart(title, unit, groups):
    """`groups` is a list of (name, list of Bar). Each group has a scale of its
    own: bars are compared within it. Bars with the same label have the same
    color everywhere."""
    labels = []
    for _, bars in groups:
        labels += [bar.label for bar in bars if bar.label not in labels]
    color = {label: _COLORS[i % len(_COLORS)] for i, label in enumerate(labels)}

    body = [_text(12, 22, title, size=15, weight="bold"),
            _text(12, 38, f"{unit}; thin line: least to greatest; "
                  "red mark: the machine's limit", _FAINT, size=11)]
    y = _TOP
    for name, bars in groups:
        y += _GROUP_GAP
        body.append(_text(12, y - 8, name, weight="bold"))
        longest = max(max(bar.value, bar.high, bar.limit) for bar in bars)
        scale = _PLOT_WIDTH / longest if longest > 0 else 0
        for bar in bars:
            body += _bar(bar, y, scale, color[bar.label])
            y += _BAR_HEIGHT + _BAR_GAP
    width = _LABEL_WIDTH + _PLOT_WIDTH + _VALUE_WIDTH
    height = y + 12
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" role="img">',
        f"<title>{html.escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *body, "</svg>", ""])
