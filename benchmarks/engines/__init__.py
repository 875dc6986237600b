"""One module an engine: what it is, how it is configured, and `build(model)`, which gives its `Solve`.

A module imports its engine at the top, so that where an engine is absent its module is not importable and is skipped by
name. Peers run as they are shipped, in the best configuration that their documentation offers for many subjects.
"""

from __future__ import annotations

from collections.abc import Callable

from problem import Array, Problem

Solve = Callable[[Problem, float], Array]
"""Subjects and a relative tolerance (absolute: a thousandth of it) -> values (subject, time, state), NaN if failed."""

ABSOLUTE = 1e-3  # absolute tolerance of every engine on every state, as a multiple of the relative one


class CannotExpressError(Exception):
    """The engine has no means for what the model holds."""
