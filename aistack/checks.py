"""Input checks that leave traced values alone.

:func:`positive` and its kin take quantities by name, so that the error can name the one that is wrong:
``positive(area_mm2=area_mm2)``.
"""

import numpy as np

__all__ = ["at_least_one", "at_least_zero", "fraction", "positive", "positive_fraction", "require"]


def _fails(condition) -> bool:
    return not hasattr(condition, "__trace__") and not np.all(condition)


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
    if _fails(condition):
        raise ValueError(message)


def positive(**quantities) -> None:
    """Raise ValueError unless every quantity is above zero."""
    for name, value in quantities.items():
        if _fails(np.greater(value, 0)):
            raise ValueError(f"{name} must be positive, not {value!r}")


def at_least_zero(**quantities) -> None:
    """Raise ValueError unless every quantity is zero or more."""
    for name, value in quantities.items():
        if _fails(np.greater_equal(value, 0)):
            raise ValueError(f"{name} must be zero or more, not {value!r}")


def at_least_one(**quantities) -> None:
    """Raise ValueError unless every quantity is one or more."""
    for name, value in quantities.items():
        if _fails(np.greater_equal(value, 1)):
            raise ValueError(f"{name} must be 1 or more, not {value!r}")


def fraction(**quantities) -> None:
    """Raise ValueError unless every quantity lies from 0 to 1."""
    for name, value in quantities.items():
        if _fails(np.logical_and(np.greater_equal(value, 0), np.less_equal(value, 1))):
            raise ValueError(f"{name} must be from 0 to 1, not {value!r}; give 0.75 for 75 %")


def positive_fraction(**quantities) -> None:
    """Raise ValueError unless every quantity is above 0 and at most 1."""
    for name, value in quantities.items():
        if _fails(np.greater(value, 0)) or _fails(np.less_equal(value, 1)):
            raise ValueError(f"{name} must be above 0 and at most 1, not {value!r}; give 0.9 for 90 %")
