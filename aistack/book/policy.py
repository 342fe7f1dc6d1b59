"""The Content-Security-Policy of every page: files of this site and nothing else, and of inline scripts the one known by its hash.

A policy in the page travels with it to any host; what only a header can say (``frame-ancestors``) is the host's.
"""

import base64
import hashlib

__all__ = ["digest", "policy"]


def digest(text: str) -> str:
    """Return the source expression that allows one inline script or style, given what stands between its tags.

    Examples
    --------
    >>> digest("")
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
    """
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def policy(script: str, style: str = "", base: str = "'none'") -> str:
    """Return the policy of a page.

    Parameters
    ----------
    script, style : str
        The inline script and the inline style sheet that may run. The empty sheet is plotly's: it adds one without text
        and fills it through the CSSOM, which no policy hinders.
    base : str
        What ``<base>`` may name; only the page for lost addresses has one.

    Notes
    -----
    ``file:`` stands beside ``'self'`` because Firefox takes ``'self'`` of a page opened from disk for nothing at all; a page
    that came over the network may load no such address whatever its policy says. ``style-src-attr`` alone is open: plotly
    sets bold and raised words and the smoothing of heatmaps in ``style`` attributes. No attribute of a page runs a script.
    """
    here = "'self' file:"
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {here} {digest(script)}",
            f"style-src {here} {digest(style)}",
            "style-src-attr 'unsafe-inline'",
            f"img-src {here} data:",
            f"font-src {here}",
            "connect-src 'self'",
            f"form-action {here}",
            f"base-uri {base}",
            "object-src 'none'",
        )
    )
