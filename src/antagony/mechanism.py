"""A mechanism: one rival's equations, ready to run, and the folder's record of what is the rival's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .drug import Drug
from .notebook import Card, Table, assumed_of, brief, listed
from .parameters import Parameter, Prior


@dataclass(frozen=True, slots=True)
class Edge:
    """One signed arrow of a mechanism's causal graph, between output symbols; `sign` +1 raises, -1 lowers."""

    source: str
    target: str
    sign: int
    parameter: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Variant:
    """A named alternative inside a mechanism.

    Other values or priors of some parameters, another wiring text, other parts in place of its own (`parts`: name ->
    replacement), or another mechanism to compose with (`partner`). One for `proof` shows how well the equations are
    solved; it is no hypothesis, and nothing integrates over it.
    """

    axis: str
    name: str
    title: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    priors: Mapping[str, Prior] = field(default_factory=dict)
    wiring: str | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    partner: str = ""
    proof: bool = False

    @property
    def changes_equations(self) -> bool:
        """Whether it composes to another model, not only to other numbers."""
        return self.wiring is not None or bool(self.parts) or bool(self.partner)


@dataclass(frozen=True, slots=True)
class Output:
    """A readout: a symbol of the model with its title and unit."""

    symbol: str
    title: str
    unit: str
    short: str = ""


@dataclass(frozen=True, slots=True)
class Wiring:
    """What is a rival's own: its parts list, wiring text, parameters, variants, causal graph and prose.

    `requires` names shared sites (drugs) that its equations need whatever is given.
    """

    slug: str
    title: str
    statement: str
    group: str
    reference: bool
    parts: tuple[str, ...]
    text: str
    parameters: Mapping[str, Parameter]
    variants: tuple[Variant, ...]
    edges: tuple[Edge, ...]
    readme: str
    requires: tuple[str, ...] = ()

    @property
    def axes(self) -> dict[str, Variant]:
        """Each axis with its first variant, the base."""
        return {v.axis: v for v in reversed(self.variants)}

    def variant(self, axis: str, name: str) -> Variant | None:
        """The variant of that axis and name, or None where this wiring has no such freedom."""
        return next((v for v in self.variants if (v.axis, v.name) == (axis, name)), None)

    def __repr__(self) -> str:
        """The rival by its name and class."""
        return brief("Wiring", {"": self.slug, "class": self.group, "parts": listed(self.parts)})

    def _repr_html_(self) -> str:
        arrows = [(e.source, "raises" if e.sign > 0 else "lowers", e.target, e.parameter, e.note) for e in self.edges]
        chain = Table(("from", "", "to", "number", "note"), arrows, "The signed diagram", words=5)
        rows = [(v.axis, v.name, v.title) for v in self.variants]
        variants = Table(("axis", "variant", ""), rows, "Variants, each axis with its base first", words=3)
        grades = [p.grade for p in self.parameters.values()]
        counted = assumed_of(grades.count("assumed"), len(grades))
        own = f"of its own, {counted}" if grades else "it has no number of its own"
        shown = tuple(table for table in (chain, variants) if table.rows)
        return Card(f"{self.title} ({self.slug})", self.statement, shown, facts=(own,)).html()


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One model composed for a set of drugs: Antimony and SBML text, and what its numbers mean.

    `drugs` are those whose equations it holds, shared sites included; `parameters` the rows that the text needs,
    variants applied; `dosing` those that only routes and probes need (shares, lags, body weight, sizes of imposed
    effects); `inputs` those that change during a run (infusions, probes for a
    while); `outputs` its readouts; `state_units` the unit of each state;
    `case_hash` fingerprints the folder it came from.
    """

    slug: str
    title: str
    drugs: Mapping[str, Drug]
    variants: tuple[str, ...]
    antimony: str
    sbml: str
    parameters: Mapping[str, Parameter]
    dosing: Mapping[str, Parameter]
    inputs: tuple[str, ...]
    outputs: Mapping[str, Output]
    state_units: Mapping[str, str]
    case_hash: str

    @property
    def assumed(self) -> tuple[str, ...]:
        """Ids of the numbers that rest on judgement alone, in order."""
        return tuple(p.id for p in self.parameters.values() if p.grade == "assumed")

    @property
    def uncertain(self) -> tuple[Parameter, ...]:
        """Parameters with a prior: those that differ between draws."""
        return tuple(p for p in self.parameters.values() if p.estimate and p.prior is not None)

    @property
    def varying(self) -> tuple[Parameter, ...]:
        """Parameters that differ between subjects."""
        return tuple(p for p in self.parameters.values() if p.bsv > 0)

    def __repr__(self) -> str:
        """The mechanism by its name, drugs and variants."""
        variants = {"variants": listed(self.variants)} if self.variants else {}
        return brief("Mechanism", {"": self.slug, "drugs": listed(self.drugs), **variants, "case": self.case_hash})

    def _repr_html_(self) -> str:
        rows = [(o.symbol, o.title, o.unit) for o in self.outputs.values()]
        numbers = sum(p.grade != "definition" for p in self.parameters.values())
        facts = (
            f"drugs: {listed(self.drugs) or 'none'}",
            f"variants: {listed(self.variants) or 'base'}",
            f"{len(self.state_units)} states, {len(self.uncertain)} numbers with a prior, {len(self.varying)} that "
            "differ between subjects",
            f"{assumed_of(len(self.assumed), numbers)}: {listed(self.assumed) or 'none'}",
            f"case {self.case_hash}",
        )
        outputs = Table(("output", "title", "unit"), rows, words=3)
        return Card(f"{self.title} ({self.slug})", tables=(outputs,), facts=facts).html()
