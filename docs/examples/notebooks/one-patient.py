# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # One patient, two rivals
#
# Ketamine alone, ketamine after naltrexone, naltrexone alone: what each of two mechanisms makes of them in the typical
# patient. Nothing here advises a patient.

# %%
import numpy as np

import antagony

case = antagony.open_case()
case

# %% [markdown]
# A regimen is prescription text. Time 0 is the dose of ketamine; naltrexone comes 45 minutes before.

# %%
arms = {
    "ketamine": case.regimen("ketamine 0.5 mg/kg iv over 40 min"),
    "naltrexone, then ketamine": case.regimen("naltrexone 50 mg po at -45 min; ketamine 0.5 mg/kg iv over 40 min"),
    "naltrexone": case.regimen("naltrexone 50 mg po at -45 min"),
}
times = np.sinh(np.linspace(np.arcsinh(-1), np.arcsinh(168), 120))  # hours, denser near time 0

# %% [markdown]
# The rivals differ in wiring only; drugs, receptors and the rating scale are shared.

# %%
case.wiring("camp_crosstalk")

# %%
case.wiring("gated_surge")

# %% [markdown]
# `calibrate` takes nominal values and solves the one number that sizes the antidepressant effect, by the same rule for
# every rival; without it the score has no size.

# %%
runs = {}
for slug in ("camp_crosstalk", "gated_surge"):
    mechanism = case.mechanism(slug, ["ketamine", "naltrexone"])
    runs[slug] = antagony.simulate(mechanism, arms, times, draws=antagony.calibrate(case, slug).draws)

# %%
antagony.draw_curves(*runs.values(), outputs=["nmda_block", "mu_occupancy_antagonist", "mtorc1_relative", "score"])

# %% [markdown]
# A run is an xarray dataset: axes (arm, draw, subject, time), units in `attrs`. Numbers come out by name.

# %%
run = runs["camp_crosstalk"]
run["score"].attrs, run.attrs["assumed_numbers"], run.attrs["failures"]

# %%
day = {slug: run["score"].sel(time=24, method="nearest").squeeze().to_series() for slug, run in runs.items()}
rest = {slug: float(run["score"].isel(arm=0, time=0).squeeze()) for slug, run in runs.items()}
{slug: {arm: round(score - rest[slug], 1) for arm, score in scores.items()} for slug, scores in day.items()}

# %% [markdown]
# At nominal values naltrexone takes most of the effect in one rival and little in the other. That is what each says,
# and no evidence for either: nominal values stand for wide ranges. What the published results say of the rivals is
# `antagony.read_answer(case)`; what would tell them apart, `antagony.rank_plans(case)`.
