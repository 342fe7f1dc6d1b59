"""Input checks that leave traced values alone."""

import numpy as np

__all__ = ["require"]


def require(condition, message: str) -> None:
    """Raise ValueError with `message` unless `condition` holds everywhere.

    Parameters
    ----------
    condition : bool or array of bool
        A condition on arguments. One that depends on a traced value (see :mod:`aistack.trace`)
        is not known at build time and passes: the controls of an explorer bound it instead.
    message : str
        Names the argument, what it must be, and so the way out.

    Raises
    ------
    ValueError
        If the condition is known and false for any element.

    Examples
    --------
    >>> require(-1 > 0, "area_mm2 must be positive")
    Traceback (most recent call last):
    ...
    ValueError: area_mm2 must be positive
    """
    if hasattr(condition, "__trace__"):
        return
    if not np.all(condition):
        raise ValueError(message)
