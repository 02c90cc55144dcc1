"""`--set PATH=VALUE`: any field of a recipe, changed from the command line."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from model.core.errors import InputError
from model.train.recipe import Recipe

NONE: Final = "none"
YES: Final = ("true", "yes", "on", "1")
NO: Final = ("false", "no", "off", "0")

WORDS: Final = ((bool, "true or false"), (int, "a whole number"), (float, "a number"), (str, "a text"))
Tree = dict[str, Any]
"""What is set: texts by field, and below a field that has fields, another tree. The field's own text is under ''."""


def apply_overrides(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """The recipe with `PATH=VALUE`s set: `optimiser.learning_rate=3e-4`, `windows.step_minutes=5,10`.

    A part that may be of several kinds takes the kind's name, and then its fields: `sampling=ScheduledSampling`,
    `loss=RainLoss loss.csi_weight=0.4`. `none` is None.

    Raises
    ------
    InputError
        There is no such field, the value is not of its type, or the recipe contradicts itself.
    """
    tree: Tree = {}
    for setting in settings:
        path, sign, text = setting.partition("=")
        if not sign:
            raise InputError("not PATH=VALUE", where=f"--set {setting}", hint="Write it like optimiser.clip_norm=1")
        node = tree
        for name in path.strip().split("."):
            node = node.setdefault(name, {})
        node[""] = text.strip()
    changed = _changed(recipe, tree, "", list(_paths(recipe)))
    if not isinstance(changed, Recipe):
        raise TypeError("a changed recipe is a recipe")
    return changed


def lines_of(recipe: Recipe) -> list[str]:
    """`PATH=VALUE` of every field, as `apply_overrides` takes them; the name is not among them."""
    return [f"{path}={text}" for path, text in _settings(recipe, "") if path != "name"]


def _settings(part: object, path: str) -> Iterator[tuple[str, str]]:
    hints = get_type_hints(type(part))
    for each in fields(part):  # type: ignore[arg-type]
        value, name = getattr(part, each.name), f"{path}{each.name}"
        if is_dataclass(value):
            if len(_kinds(hints[each.name])) > 1 or type(None) in get_args(hints[each.name]):
                yield name, type(value).__name__
            yield from _settings(value, f"{name}.")
        else:
            yield name, _text(value)


def _text(value: object) -> str:
    if value is None:
        return NONE
    if isinstance(value, tuple):
        return ",".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _paths(part: object, path: str = "") -> Iterator[str]:
    """The names of all fields that can be set as the recipe is."""
    return (name for name, _ in _settings(part, path) if name != "name")


def _changed(part: object, tree: Tree, path: str, known: Sequence[str]) -> object:
    """A dataclass with the tree's fields set."""
    values = {each.name: getattr(part, each.name) for each in fields(part)}  # type: ignore[arg-type]
    return _built(type(part), values, tree, path, known)


def _built(kind: type, values: Mapping[str, Any], tree: Tree, path: str, known: Sequence[str]) -> object:
    hints = get_type_hints(kind)
    given = dict(values)
    for name, node in tree.items():
        if not name:
            continue
        if name not in hints or f"{path}{name}" == "name":
            raise _unknown(_leaf(f"{path}{name}", node), known)
        given[name] = _set(hints[name], given.get(name, MISSING), node, f"{path}{name}", known)
    lacking = [
        f"{path}{each.name}"
        for each in fields(kind)
        if each.name not in given and each.default is MISSING and each.default_factory is MISSING
    ]
    if lacking:
        hint = " ".join(f"--set {name}=..." for name in lacking)
        raise InputError(f"{kind.__name__} needs {', '.join(lacking)}", where=f"--set {path[:-1]}", hint=f"Add {hint}")
    try:
        return kind(**given)
    except ValueError as error:
        where = f"--set {path[:-1]}" if path else "--set"
        raise InputError(
            str(error), where=where, hint="Correct it, or what it contradicts: --show lists all settings"
        ) from None


def _set(annotation: object, value: object, node: Tree, path: str, known: Sequence[str]) -> object:
    """What becomes of a field: its own text, then the fields below it."""
    kinds, text = _kinds(annotation), node.get("")
    if not kinds:
        if len(node) > 1 or text is None:
            raise _unknown(_leaf(path, node), known)
        return _parsed(annotation, text, path)
    names = {kind.__name__: kind for kind in kinds}
    if text is not None:
        if text.lower() == NONE and type(None) in get_args(annotation):
            value = None
        elif text not in names:
            choice = [*names, *([NONE] if type(None) in get_args(annotation) else [])]
            hint = f"Choose one of {', '.join(choice)}"
            raise InputError(f"it cannot be {text!r}", where=f"--set {path}", hint=hint)
        elif not isinstance(value, names[text]):
            return _built(names[text], {}, node, f"{path}.", known)
    below = [name for name in node if name]
    if not below:
        return value
    if value is None or value is MISSING:
        hint = " or ".join(f"--set {path}={name}" for name in names)
        raise InputError("it is none: it has no fields", where=f"--set {path}.{below[0]}", hint=f"Add {hint}")
    others = [name for name, kind in names.items() if below[0] in get_type_hints(kind)]
    if below[0] not in get_type_hints(type(value)) and others:
        raise InputError(
            f"{type(value).__name__} has no such field, {others[0]} has",
            where=f"--set {path}.{below[0]}",
            hint=f"Add --set {path}={others[0]}",
        )
    return _changed(value, node, f"{path}.", known)


def _kinds(annotation: object) -> list[type]:
    """The dataclasses that a field may hold."""
    options = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return [option for option in options if isinstance(option, type) and is_dataclass(option)]


def _parsed(annotation: object, text: str, path: str) -> object:
    """A text as the type that a field has.

    Raises
    ------
    InputError
        It is not one.
    """
    options = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    for option in options:
        try:
            return _as(option, text)
        except ValueError:
            continue
    raise InputError(f"{text!r} is not {_described(annotation)}", where=f"--set {path}", hint="Give another value")


def _as(kind: object, text: str) -> object:
    if kind is type(None):
        if text.lower() != NONE:
            raise ValueError
        return None
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise ValueError
        return text
    if get_origin(kind) is tuple:
        parts, inner = [part.strip() for part in text.strip("()").split(",") if part.strip()], get_args(kind)
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(_as(inner[0], part) for part in parts)
        if len(parts) != len(inner):
            raise ValueError
        return tuple(_as(each, part) for each, part in zip(inner, parts, strict=True))
    if kind is bool:
        if text.lower() not in YES + NO:
            raise ValueError
        return text.lower() in YES
    if kind is int:
        return int(text.replace("_", ""))
    return float(text) if kind is float else text


def _described(annotation: object) -> str:
    if annotation is type(None):
        return NONE
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(get_args(annotation))
    if get_origin(annotation) is tuple:
        inner = get_args(annotation)
        many = "a list of" if inner[-1] is Ellipsis else f"{len(inner)} of"
        return f"{many} {_described(inner[0])}, with commas"
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(map(_described, get_args(annotation)))
    return next(words for kind, words in WORDS if kind is annotation)


def _unknown(path: str, known: Sequence[str]) -> InputError:
    parent, _, last = path.rpartition(".")
    names = difflib.get_close_matches(last, {each.rpartition(".")[2] for each in known}, n=3)
    nearest = [each for name in names for each in known if each.rpartition(".")[2] == name]
    siblings = [each.rpartition(".")[2] for each in known if each.rpartition(".")[0] == parent]
    nearest = sorted(nearest, key=lambda each: -difflib.SequenceMatcher(None, each, path).ratio())
    if nearest or not (parent and siblings):
        nearest = nearest or difflib.get_close_matches(path, known, n=3)
        hint = f"Nearest: {', '.join(nearest[:3])}" if nearest else "--show names them all"
    else:
        hint = f"{parent} has {', '.join(siblings)}"
    return InputError("the recipe has no such field", where=f"--set {path}", hint=hint)


def _leaf(path: str, node: Tree) -> str:
    """The whole path of the first that is set in a tree."""
    name = next((name for name in node if name), None)
    return path if name is None else _leaf(f"{path}.{name}", node[name])
