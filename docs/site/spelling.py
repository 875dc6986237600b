"""The models that validate a case's files, in words: which keys they take, what each holds, what it is if left out."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import AfterValidator, BaseModel, BeforeValidator, PlainValidator
from pydantic_core import PydanticUndefined

from antagony.parameters import GRADES

MODULES = ("case", "condition", "claim", "study", "design", "rules", "drug", "display")
"""The modules whose models a file is validated by."""

PLAIN = {str: "text", float: "number", int: "whole number", bool: "true or false"}
READERS = {
    "_time": 'time, such as `"24 h"`',
    "_regimen": "[prescription](dosing.md)",
    "_condition": "a [prescription](dosing.md), or a [table](#fields-condition-conditionentry)",
    "_read_amount": "number, id of a parameter, or table by dose",
}
"""What a value is that a validator reads out of text, by the validator's name."""

@dataclass(frozen=True)
class Field:
    """One key of a table: what it holds, whether it must be given, and what stands for it otherwise."""

    key: str
    holds: str
    needed: bool
    default: str


def models() -> Iterator[tuple[str, type]]:
    """Every model that has keys, by module and name."""
    for module_name in MODULES:
        module = import_module(f"antagony.{module_name}")
        for name, found in vars(module).items():
            own = inspect.isclass(found) and found.__module__ == module.__name__
            if own and is_model(found) and list(fields_of(found)):
                yield f"{module_name}.{name}", found


def is_model(found: object) -> bool:
    """Whether a class says which keys a table of a file may hold."""
    return inspect.isclass(found) and (issubclass(found, BaseModel) or hasattr(found, "__pydantic_config__"))


def model_named(name: str) -> type:
    """The model of that module and name. Raises ValueError where it is none."""
    module, _, short = name.partition(".")
    found = getattr(import_module(f"antagony.{module}"), short)
    if not is_model(found):
        raise ValueError(f"{name} validates no file")
    return found


def fields_of(model: type) -> Iterator[Field]:
    """The keys that a model takes, as a file spells them, in the order of the code."""
    if issubclass(model, BaseModel):
        for name, info in model.model_fields.items():
            hint = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
            default = info.default if info.default_factory is None else info.default_factory()  # type: ignore[call-arg]
            yield Field(info.alias or name, spell(hint), info.is_required(), spell_default(default))
        return
    hints = get_type_hints(model, include_extras=True)
    for entry in dataclasses.fields(model):  # type: ignore[arg-type] - a pydantic configuration stands on a dataclass
        factory = entry.default_factory
        default = factory() if factory is not dataclasses.MISSING else entry.default
        needed = default is dataclasses.MISSING
        yield Field(entry.name, spell(hints[entry.name]), needed, "" if needed else spell_default(default))


def spell(hint: Any) -> str:  # noqa: ANN401 - whatever an annotation holds
    """What an annotation accepts, in words."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _spell_annotated(inner[0], inner[1:])
    if origin in (Union, types.UnionType):
        return " or ".join(spell(part) for part in inner if part is not type(None))
    if origin is Literal:
        return _choice(inner)
    if origin is tuple and inner[-1] is ...:
        return f"list: {spell(inner[0])}"
    if origin is tuple:
        return f"list of {len(inner)}: {', '.join(dict.fromkeys(map(spell, inner)))}"
    if origin is dict:
        return f"table by {'name' if inner[0] is str else spell(inner[0])}: {spell(inner[1])}"
    if is_model(hint):
        module, label = hint.__module__.rsplit(".", 1)[-1], hint.__name__.lower().replace("_", "")
        return f"[table](#fields-{module}-{label})"
    return "anything" if hint is Any else PLAIN[hint]


def _spell_annotated(base: object, metadata: tuple[object, ...]) -> str:
    """What is accepted under validators and bounds; a validator of ours says more than the type that it returns."""
    words, bounds = "", []
    for mark in metadata:
        if isinstance(mark, BeforeValidator | AfterValidator | PlainValidator):
            words = _spell_validator(mark.func)
        elif isinstance(mark, Gt | Ge | Lt | Le):
            sign, bound = next((s, getattr(mark, s)) for s in ("gt", "ge", "lt", "le") if hasattr(mark, s))
            bounds.append({"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}[sign] + f" {bound:g}")
        elif isinstance(mark, MinLen):
            bounds.append("not empty")
    return ", ".join([words or spell(base), *bounds])


def _spell_validator(function: Any) -> str:  # noqa: ANN401 - any of pydantic's kinds of validator
    """What a validator lets pass: text that it reads, or the words of a list that it holds."""
    if function.__name__ in READERS:
        return READERS[function.__name__]
    listed = [value for value in inspect.getclosurevars(function).nonlocals.values() if isinstance(value, tuple)]
    if not listed:
        raise ValueError(f"it is not said what the validator {function.__qualname__} accepts")
    return "[grade](../explanation/glossary.md)" if listed[0] == GRADES else _choice(listed[0])


def _choice(words: tuple[object, ...]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def spell_default(value: Any) -> str:  # noqa: ANN401 - whatever a default is
    """What stands for a key that is left out; nothing where that is empty."""
    if value is PydanticUndefined or value is None or value in ("", (), {}) or is_model(type(value)):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{list(value) if isinstance(value, tuple) else value}`"
