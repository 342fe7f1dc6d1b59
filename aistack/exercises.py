"""What the tests in exercise notebooks are written with: :func:`close` and :func:`raises`.

Both give a plain True or False and never an error of their own, so that the message of the ``assert`` around
them is what a student reads.
"""

import numpy as np

__all__ = ["close", "raises"]


def close(actual, expected, rtol=1e-6, atol=1e-9) -> bool:
    """Return whether a number or an array of numbers is what it should be.

    Parameters
    ----------
    actual : object
        The answer. What is no number, or an array of another shape, is not close.
    expected : float or array_like
        What it should be.
    rtol, atol : float
        Allowed difference, as a share of `expected` and in its unit; the larger one counts.

    Returns
    -------
    bool
        True if every element is within the tolerance. ``nan`` is close to nothing.

    Examples
    --------
    >>> close(0.4999999, 0.5), close([1.0, 2.0], [1.0, 2.1]), close("half", 0.5), close(None, 0.5)
    (True, False, False, False)
    """
    try:
        got, wanted = np.asarray(actual), np.asarray(expected, dtype=float)
        if got.shape != wanted.shape or got.dtype.kind not in "biuf" or got.dtype.kind == "b":
            return False
        return bool(np.all(np.abs(got - wanted) <= np.maximum(atol, rtol * np.abs(wanted))))
    except Exception:
        return False


def raises(error, function, *args, **kwargs) -> bool:
    """Return whether a call raises an error of the given kind.

    Parameters
    ----------
    error : type
        The kind of error, such as ``ValueError``.
    function : callable
        What to call, with the arguments that follow.

    Returns
    -------
    bool
        False if the call returns, or raises something else.

    Examples
    --------
    >>> raises(ValueError, float, "ten"), raises(ValueError, float, "10"), raises(KeyError, float, "ten")
    (True, False, False)
    """
    try:
        function(*args, **kwargs)
    except error:
        return True
    except Exception:
        return False
    return False
