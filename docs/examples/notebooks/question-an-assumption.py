# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Question an assumption
#
# Many numbers of a mechanism were measured by nobody. Take one, hold it at the ends of its range, and see which claims
# move, and by how much more than Monte-Carlo error.

# %%
import math

import pandas as pd

import antagony

case = antagony.open_case()
slug = "camp_crosstalk"
mechanism = case.mechanism(slug, ["ketamine", "naltrexone"])
mechanism

# %% [markdown]
# Which of its numbers are assumed, with the range that each may have?

# %%
rows = case.parameters(slug)
assumed = pd.DataFrame(
    {"meaning": p.name, "nominal": p.nominal, "unit": p.unit, "range": p.prior.text if p.prior else "fixed"}
    for p in (rows[name] for name in mechanism.assumed)
).set_axis(mechanism.assumed)
assumed

# %% [markdown]
# The receptor's own activity, without any ligand: part of the opioid tone that naltrexone takes away.

# %%
name = "mu_constitutive_activity"
low, high = rows[name].prior.support
held = {"low": low, "as it is": None, "high": high}
claims = [claim for claim in case.claims if claim.id.startswith(("s2_", "s3_", "s4_", "s5_"))]
answers = {
    label: antagony.check_claims(case, slug, claims, draws=200, held=None if value is None else {name: value})
    for label, value in held.items()
}

# %% [markdown]
# Per cent of prior draws in which each claim holds.

# %%
shares = pd.DataFrame({label: {r.claim.id: 100 * r.share for r in results} for label, results in answers.items()})
shares

# %% [markdown]
# What moves by more than three Monte-Carlo errors of the difference (the draws are the same, so this is careful):

# %%
errors = {label: {r.claim.id: 100 * r.share_error for r in results} for label, results in answers.items()}
change = shares["high"] - shares["low"]
moved = {
    claim: round(float(points), 1)
    for claim, points in change.items()
    if abs(points) > 3 * math.hypot(errors["low"][claim], errors["high"][claim])
}
moved

# %% [markdown]
# A claim that moves hangs on this number, and a measurement of it would be worth having. Whether the published results
# already say something of it is in `antagony.read_answer(case).weighed(slug).learned`.
