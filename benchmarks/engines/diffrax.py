"""diffrax: Kvaerno3 under jit and vmap in double precision, one stretch between doses after another inside a scan."""

from __future__ import annotations

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from problem import ADD, Array, Model, Problem

from . import ABSOLUTE, CannotExpressError, Solve

PACKAGES = ("diffrax", "jax")
ABOUT = "Kvaerno3, automatic Jacobian, one jit of a vmap over 16 subjects, doses in a scan over stretches"
CHUNK = 16  # a batch runs until its slowest subject ends; in the prototype's trials 16 was best on a CPU


def build(model: Model) -> Solve:
    """The compiled batch."""
    if model.divides:
        raise CannotExpressError("its events end a solution; it has no reset of a state")
    jax.config.update("jax_enable_x64", True)
    batch = jax.jit(jax.vmap(_follower(model), in_axes=(0, 0, 0, 0, 0, 0, None)))
    columns = [model.parameters.index(n) for n in model.varied]

    def solve(problem: Problem, rtol: float) -> Array:
        rows = np.tile(model.nominal, (len(problem.varied), 1))
        rows[:, columns] = problem.varied
        arrays = (rows, problem.start, problem.time, problem.kind, problem.target, problem.value)
        count = len(rows)
        chunks = []
        for first in range(0, count, CHUNK):  # the last chunk is filled up, so that there is one shape to compile
            which = np.minimum(np.arange(first, first + CHUNK), count - 1)
            chunks.append(np.asarray(batch(*(a[which] for a in arrays), rtol)))
        return np.concatenate(chunks)[:count]

    return solve


def _follower(model: Model) -> Any:  # noqa: ANN401 - a traced function
    """One subject: (parameters, start, time, kind, target, value, rtol) -> values (time, state)."""
    space: dict[str, Any] = {
        **{name: getattr(jnp, name) for name in ("exp", "log", "maximum", "minimum", "less_equal", "less")},
        "select": jnp.where,
    }
    exec(model.rates, space)  # our own models' text, printed by benchmarks/rates.py
    term = diffrax.ODETerm(lambda t, y, p: jnp.stack(jnp.broadcast_arrays(*space["rates"](t, y, p))))
    times, inputs = jnp.asarray(model.times), jnp.asarray([model.parameters.index(n) for n in model.inputs], dtype=int)

    def stretch(carry: Any, event: Any, rtol: Any) -> Any:  # noqa: ANN401
        p, y, now = carry
        end, kind, target, value = event
        # times outside the stretch are asked for at its end, of which one row is kept for each
        found = diffrax.diffeqsolve(
            term,
            diffrax.Kvaerno3(),
            now,
            end,
            None,
            y,
            p,
            saveat=diffrax.SaveAt(ts=jnp.clip(times, now, end), t1=True),
            stepsize_controller=diffrax.PIDController(rtol=rtol, atol=rtol * ABSOLUTE),
            max_steps=200_000,
            throw=False,
        )
        rows, last = found.ys[:-1], found.ys[-1]
        adds = kind == ADD
        y = last.at[target].add(jnp.where(adds, value, 0.0))
        if model.inputs:
            place = inputs[jnp.where(adds, 0, target)]
            p = p.at[place].set(jnp.where(adds, p[place], value))
        return (p, y, end), (rows, now, end)

    def follow(p: Any, start: Any, time: Any, kind: Any, target: Any, value: Any, rtol: Any) -> Any:  # noqa: ANN401
        zero = jnp.zeros(1, dtype=kind.dtype)
        events = (
            jnp.append(time, times[-1]),
            jnp.append(kind, zero),
            jnp.append(target, zero),
            jnp.append(value, 0.0),
        )
        _, (rows, begin, end) = jax.lax.scan(lambda c, e: stretch(c, e, rtol), (p, start, 0.0), events)
        here = (begin[:, None] <= times) & (times < end[:, None])
        here = here.at[-1].set((begin[-1] <= times) & (times <= end[-1]))
        return jnp.where(here[:, :, None], rows, 0.0).sum(axis=0)

    return follow
