"""The numerical core: SBML maths -> sympy -> C -> many subjects at once, one per lane of a vector register."""
