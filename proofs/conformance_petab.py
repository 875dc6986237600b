"""Outside suite of PEtab v2 problems and expressions: simulations, likelihood, chi squared, priors, posterior.

Prints every case: passed in the kernel / through libRoadRunner / refused by name / wrong, within the tolerances of the
case's own solution. Exits 1 when a case or an expression is not passed. The suite is read from $SUITES (default
../shared/suites) and never copied into the project.
"""

from __future__ import annotations

import os
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path

import pandas as pd
import sympy
import yaml

from antagony.errors import UnsupportedError

SUITES = Path(os.environ.get("SUITES") or Path(__file__).resolve().parents[2] / "shared" / "suites")
SUITE = "petab-v2-dev.tar.xz"
SYMBOLS = {"a": 1.7, "b": -3.0}  # for expressions whose value is a formula
EXACT = 1e-14  # of an expression, relative


def judge_case(folder: Path) -> tuple[str, str]:
    """Who passed a case, or what is wrong with it."""
    from antagony.exchange.petab import open_petab
    from antagony.exchange.petab_run import simulate_petab

    name = folder.name
    solution = yaml.safe_load((folder / f"_{name}_solution.yaml").read_text())
    run = simulate_petab(open_petab(folder / f"_{name}.yaml"))
    want = pd.read_csv(folder / solution["simulation_files"][0], sep="\t")["simulation"].to_numpy(float)
    if len(want) != len(run.simulations):
        return "wrong", f"{len(run.simulations)} simulations for {len(want)}"
    pairs = [("simulations", x, y) for x, y in zip(want, run.simulations, strict=True)]
    pairs += [("llh", solution["llh"], run.log_likelihood), ("chi2", solution["chi2"], run.chi2)]
    pairs += [("log_prior", x, run.log_priors[p]) for p, x in solution.get("log_prior", {}).items()]
    if (posterior := solution.get("unnorm_log_posterior")) is not None:
        pairs.append(("unnorm_log_posterior", posterior, run.log_posterior))
    for kind, expected, got in pairs:
        # log priors are printed to fourteen decimals, so half of the last is in the expected number itself
        slack = 5e-15 + 4 * 2.3e-16 * abs(expected)
        if not abs(expected - got) <= solution[f"tol_{kind}"] + slack:
            return "wrong", f"{kind}: expected {expected!r}, got {got!r}"
    worst = max(abs(x - y) for kind, x, y in pairs if kind == "llh")
    return run.engines[0].split()[0], f"log likelihood off by {worst:.0e}"


def run_cases(folder: Path) -> bool:
    """Every case of the suite; returns whether all passed."""
    counts: Counter[str] = Counter()
    for case in sorted(folder.iterdir()):
        try:
            verdict, said = judge_case(case)
        except UnsupportedError as refusal:
            verdict, said = "refused", str(refusal)
        except Exception as error:
            verdict, said = "wrong", f"{type(error).__name__}: {str(error)[:200]}"
        counts[verdict] += 1
        print(f"  {case.name} {verdict:<13} {said}")
    passed = counts["kernel"] + counts["libRoadRunner"]
    print(
        f"PEtab v2 cases: {passed}/{counts.total()} passed ({counts['kernel']} kernel, {counts['libRoadRunner']} "
        f"libRoadRunner), {counts['refused']} refused, {counts['wrong']} wrong"
    )
    return passed == counts.total() > 0


def run_expressions(path: Path) -> bool:
    """Every mathematical expression by the reader's own road; returns whether all have their value."""
    from petab.v2.math import sympify_petab

    from antagony.exchange.petab_math import parse_formula

    cases = yaml.safe_load(path.read_text())["cases"]
    known = {sympy.Symbol(name, real=True): value for name, value in SYMBOLS.items()}
    passed = 0
    for case in cases:
        try:
            formula = parse_formula(str(case["expression"]))
            wanted = float(sympify_petab(case["expected"]).subs(known))  # a number, or the symbols that stay
            got = formula(SYMBOLS if formula.names else {})
        except Exception as error:
            print(f"  {case['expression']}: {error}")
            continue
        if got == wanted or abs(got - wanted) <= EXACT * max(1.0, abs(wanted)):
            passed += 1
        else:
            print(f"  {case['expression']}: expected {wanted:g}, got {got:g}")
    print(f"PEtab expressions: {passed}/{len(cases)} passed")
    return passed == len(cases) > 0


def main() -> int:
    """Command line."""
    archive = SUITES / SUITE
    if not archive.is_file():
        print(f"skipped: no {archive} (set SUITES)")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["ANTAGONY_CACHE"] = scratch
        with tarfile.open(archive) as file:
            file.extractall(scratch, filter="data")
        suite = next(Path(scratch).rglob("math_tests.yaml")).parents[1]
        good = run_expressions(suite / "math" / "math_tests.yaml")
        good &= run_cases(suite / "sbml")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
