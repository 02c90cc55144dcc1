"""`--set PATH=VALUE`: override any field of a recipe on the command line."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from model.core.errors import InputError
from model.train.recipe import Recipe

NONE: Final = "none"
EXPECTED: Final = {
    bool: ("true or false", "true or false values"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
}
"""Values of a type in an error message: one value, several values."""

T = TypeVar("T")

Overrides = dict[str, Any]
"""Overrides by field name: nested for a field that has fields. The value of the field itself has the key ''."""


def apply_overrides(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """Return the recipe with the fields of `settings` replaced.

    Parameters
    ----------
    recipe : Recipe
        The recipe to start from.
    settings : sequence of str
        `PATH=VALUE` each: `optimiser.learning_rate=3e-4`, `windows.step_minutes=5,10`, `sampling=none`. A field that
        holds one of several dataclasses takes the name of one, and then the fields of that one: `loss=RainLoss`,
        `loss.csi_weight=0.4`. The order does not matter; of two values for one field, the last applies.

    Returns
    -------
    Recipe
        A validated recipe.

    Raises
    ------
    InputError
        A field does not exist, a value has the wrong type, or the new recipe contradicts itself.
    """
    overrides: Overrides = {}
    for setting in settings:
        path, sign, text = setting.partition("=")
        if not sign:
            raise InputError("not PATH=VALUE", where=f"--set {setting}", hint="Write it like optimiser.clip_norm=1")
        node = overrides
        for name in path.strip().split("."):
            node = node.setdefault(name, {})
        node[""] = NONE if text.strip().lower() == NONE else text.strip()
    known = [line.partition("=")[0] for line in list_settings(recipe)]
    return _validate(Recipe, vars(recipe), overrides, "", known)


def list_settings(recipe: Recipe) -> list[str]:
    """Return `PATH=VALUE` for every field except the name, as `apply_overrides` takes it."""
    return [f"{path}={text}" for path, text in _settings(recipe, "") if path != "name"]


def _settings(part: object, prefix: str) -> Iterator[tuple[str, str]]:
    for name, annotation in get_type_hints(type(part)).items():
        value, path = getattr(part, name), f"{prefix}{name}"
        if is_dataclass(value):
            if len(_options(annotation)) > 1:
                yield path, type(value).__name__
            yield from _settings(value, f"{path}.")
        else:
            yield path, _format(value)


def _format(value: object) -> str:
    if value is None:
        return NONE
    if isinstance(value, tuple):
        return ",".join(map(_format, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _validate(
    kind: type[T], values: Mapping[str, object], overrides: Overrides, prefix: str, known: Sequence[str]
) -> T:
    """Return a `kind` of the values with the overrides applied; `prefix` is the path of its fields."""
    hints, values = get_type_hints(kind), dict(values)
    for name, node in overrides.items():
        path = f"{prefix}{name}"
        if not name:
            continue
        if name not in hints or path == "name":
            raise _unknown_field(_first_path(path, node), known)
        if any(map(is_dataclass, _options(hints[name]))):
            values[name] = _validate_part(hints[name], values.get(name), node, path, known)
        elif node.keys() == {""}:
            values[name] = _split(node[""], hints[name])
        else:
            raise _unknown_field(_first_path(path, node), known)
    try:
        validated: T = TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise _explain(error, kind, overrides, prefix) from None
    return validated


def _validate_part(annotation: object, value: object, node: Overrides, path: str, known: Sequence[str]) -> object:
    """Return the dataclass of a field: of the kind that its own value names, then with the fields below overridden."""
    text, options = node.get(""), _options(annotation)
    kinds = {each.__name__: each for each in options if isinstance(each, type) and is_dataclass(each)}
    choices = [*kinds, *([NONE] if type(None) in options else [])]
    if text is not None:
        if text not in choices:
            raise InputError(
                f"the value cannot be {text!r}", where=f"--set {path}", hint=f"Choose one of {', '.join(choices)}"
            )
        if text == NONE:
            value = None
        elif not isinstance(value, kinds[text]):
            return _validate(kinds[text], {}, node, f"{path}.", known)
    below = next((name for name in node if name), None)
    if below is None:
        return value
    if value is None:
        hint = " or ".join(f"--set {path}={name}" for name in kinds)
        raise InputError(f"{path} is none and has no fields", where=f"--set {path}.{below}", hint=f"Add {hint}")
    other = next((name for name, kind in kinds.items() if below in get_type_hints(kind)), None)
    if below not in get_type_hints(type(value)) and other:
        raise InputError(
            f"{type(value).__name__} has no such field, {other} has",
            where=f"--set {path}.{below}",
            hint=f"Add --set {path}={other}",
        )
    return _validate(type(value), vars(value), node, f"{path}.", known)


def _options(annotation: object) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself."""
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _split(text: str, annotation: object) -> str | list[str] | None:
    """Return a value as pydantic takes it for a field: None for `none`, a list where only a tuple can be meant."""
    options = _options(annotation)
    if text == NONE and type(None) in options:
        return None
    is_tuple = any(get_origin(option) is tuple for option in options)
    if is_tuple and ("," in text or not {int, float}.intersection(options)):
        return [part.strip() for part in text.strip("()").split(",") if part.strip()]
    return text


def _explain(error: ValidationError, kind: type, overrides: Overrides, prefix: str) -> InputError:
    """Return pydantic's first error in the words of the command line."""
    first = error.errors()[0]
    if not first["loc"]:  # raised by __post_init__
        return InputError(
            str(first["ctx"]["error"]),
            where=f"--set {prefix[:-1]}".strip(),
            hint="Correct it, or the field that it contradicts: --show lists all settings",
        )
    name = str(first["loc"][0])
    if name not in overrides:
        lacking = [f"{prefix}{each['loc'][0]}" for each in error.errors() if each["type"] == "missing"]
        hint = "Add " + " ".join(f"--set {path}=..." for path in lacking)
        return InputError(f"{kind.__name__} needs {', '.join(lacking)}", where=f"--set {prefix[:-1]}", hint=hint)
    expected = " or ".join(map(_describe, _options(get_type_hints(kind)[name])))
    return InputError(
        f"{overrides[name]['']!r} is not {expected}", where=f"--set {prefix}{name}", hint="Give another value"
    )


def _describe(option: Any) -> str:  # noqa: ANN401  (a type, a Literal or a generic alias: typing has no name for it)
    if option is type(None):
        return NONE
    if get_origin(option) is Literal:
        return "one of " + ", ".join(get_args(option))
    if get_origin(option) is tuple:
        item, *others = get_args(option)
        return f"{'a list of' if Ellipsis in others else 1 + len(others)} {EXPECTED[item][1]}, separated by commas,"
    return EXPECTED[option][0]


def _unknown_field(path: str, known: Sequence[str]) -> InputError:
    parent, _, last = path.rpartition(".")
    names = difflib.get_close_matches(last, {each.rpartition(".")[2] for each in known}, n=3)
    nearest = [each for each in known if each.rpartition(".")[2] in names]
    nearest.sort(key=lambda each: -difflib.SequenceMatcher(None, each, path).ratio())
    siblings = [each.rpartition(".")[2] for each in known if each.rpartition(".")[0] == parent]
    hint = f"{parent} has {', '.join(siblings)}" if parent and siblings else "--show lists all settings"
    if nearest:
        hint = f"Nearest: {', '.join(nearest[:3])}"
    return InputError("the recipe has no such field", where=f"--set {path}", hint=hint)


def _first_path(path: str, node: Overrides) -> str:
    """Return the whole path of the first override below a field."""
    name = next((name for name in node if name), None)
    return path if name is None else _first_path(f"{path}.{name}", node[name])
