"""Pages as single files: templates, styles and scripts of ours joined, everything else escaped.

The content security policy names the hashes of our style and script and forbids all else,
so that nothing in a caption can run, load or style anything.
"""

import base64
import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

_TEMPLATES = Path(__file__).parent / "templates"


def render_page(name: str, *, policy: str = "", data: object = None, **context: Any) -> str:
    """Return a page as one HTML text.

    Args:
        name: Of the page: `{name}.html.j2`, `{name}.css` and `{name}.js` are used, after
            `base.css` and `pair_card.js`, which all pages share.
        policy: Further directives of the content security policy.
        data: JSON-ready; the script finds it in the element `data`.
        context: What the template is given.
    """
    from markupsafe import Markup

    style, script = _joined("css", "base", name), _joined("js", "pair_card", name)
    template = environment().get_template(f"{name}.html.j2")
    page: str = template.render(
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        policy=content_policy(name, policy),
        data=data,
        **context,
    )
    return page


def content_policy(name: str, more: str = "") -> str:
    """Return the content security policy of a page."""
    style, script = _joined("css", "base", name), _joined("js", "pair_card", name)
    directives = [
        "default-src 'none'",
        f"style-src 'sha256-{_digest(style)}'",
        f"script-src 'sha256-{_digest(script)}'",
        "base-uri 'none'",
        "form-action 'none'",
        *filter(None, [more]),
    ]
    return "; ".join(directives)


@lru_cache(maxsize=8)
def _joined(suffix: str, *names: str) -> str:
    return "\n".join((_TEMPLATES / f"{name}.{suffix}").read_text("utf-8") for name in names)


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@lru_cache(maxsize=1)
def environment() -> Any:
    """Return what renders our templates: all that they are given is escaped, nothing may lack."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    ours = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    ours.policies["json.dumps_function"] = _compact
    ours.policies["json.dumps_kwargs"] = {}
    ours.filters |= {"count": _count, "percent": percent, "probability": _probability}
    return ours


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def _count(value: float) -> str:
    """Return a whole number with separators; numbers under ten keep one digit after the point."""
    return f"{value:,.1f}" if 0 < value < 10 and value != int(value) else f"{value:,.0f}"


def percent(share: float | None) -> str:
    """Return a share as people read it: `42.2 %`, `0.12 %`, `under 0.01 %`; a dash for None."""
    if share is None:
        return "–"
    value = 100 * share
    if 0 < value < 0.01:
        return "under 0.01 %"
    return f"{value:.2f} %" if 0 < value < 1 else f"{value:.1f} %"


def _probability(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
