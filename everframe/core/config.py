"""Frozen dataclasses as configs: to and from JSON, overridden by `key=value`, hashed.

A config is any dataclass whose fields are bool, int, float, str, None, Literal, tuples,
string-keyed dicts, unions of these, or further configs. No base class is needed.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from hashlib import sha256
from types import NoneType, UnionType
from typing import (
    Any,
    ClassVar,
    Literal,
    Protocol,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from everframe.core.errors import UserError


class Config(Protocol):
    """Any dataclass instance."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


ConfigT = TypeVar("ConfigT", bound=Config)


def to_dict(config: Config) -> dict[str, Any]:
    """Return nested plain data; tuples become lists, as JSON has no tuples."""
    return cast(dict[str, Any], _plain(dataclasses.asdict(config)))


def from_dict(config_type: type[ConfigT], data: Mapping[str, Any]) -> ConfigT:
    """Build a config from plain data; missing keys take their defaults.

    Raises `UserError` for an unknown key (with close names), a missing key or a wrong type.
    """
    return _build(config_type, data, "")


def to_json(config: Config) -> str:
    """Return indented JSON, ending with a newline."""
    return json.dumps(to_dict(config), indent=2, allow_nan=False) + "\n"


def from_json(config_type: type[ConfigT], text: str) -> ConfigT:
    """Build a config from JSON; raises `UserError` as `from_dict` does, and for broken JSON."""
    return _build(config_type, _read_json(text, config_type.__name__), "")


def override(config: ConfigT, assignments: Sequence[str]) -> ConfigT:
    """Return a copy with `key=value` assignments applied; keys may be dotted: `optim.lr=3e-4`.

    Values are read by the type of the field: `none`, `true`, `false`, numbers, bare strings;
    tuples as `1,2,3`; dicts and whole configs as JSON. Raises `UserError` as `from_dict` does.
    """
    data = to_dict(config)
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator or not key.strip():
            raise UserError(f"cannot read the override {assignment!r}; write key=value")
        _assign(data, type(config), key.strip(), text.strip())
    return from_dict(type(config), data)


def stable_hash(config: Config) -> str:
    """Return 16 hexadecimal digits, equal for equal configs on every machine."""
    canonical = json.dumps(to_dict(config), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256(canonical.encode()).hexdigest()[:16]


def _plain(value: object) -> object:
    """Return `value` with tuples as lists; refuse what JSON cannot carry."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in cast(dict[object, object], value).items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast(Sequence[object], value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a config holds {type(value).__name__}, which JSON cannot carry")


def _read_json(text: str, name: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{name} is not valid JSON ({error}): {text[:40]!r}") from error


def _build(config_type: type[ConfigT], data: object, path: str) -> ConfigT:
    if not isinstance(data, Mapping):
        raise _wrong(path or config_type.__name__, "an object with named fields", data)
    values = cast(Mapping[str, Any], data)
    hints = _field_types(config_type)
    for key in values:
        _check_known(key, hints, path)
    for field in dataclasses.fields(config_type):
        missing = dataclasses.MISSING
        required = field.default is missing and field.default_factory is missing
        if required and field.init and field.name not in values:
            raise UserError(f"{path}{field.name} is missing; it has no default, so set it")
    built = {key: _convert(value, hints[key], path + key) for key, value in values.items()}
    return config_type(**built)


def _field_types(config_type: type[Config]) -> dict[str, Any]:
    hints = get_type_hints(config_type)
    return {field.name: hints[field.name] for field in dataclasses.fields(config_type)}


def _check_known(key: str, known: Mapping[str, Any], path: str) -> None:
    if key in known:
        return
    close = get_close_matches(key, known, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(sorted(known))}"
    raise UserError(f"unknown key {path}{key}; {hint}")


def _wrong(path: str, wanted: str, value: object) -> UserError:
    return UserError(f"{path} must be {wanted}, got {value!r}")


def _convert(value: object, annotation: object, path: str) -> object:
    """Check plain data against a field's type, and give it that type."""
    if dataclasses.is_dataclass(annotation):
        return _build(cast(type[Config], annotation), value, path + ".")
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return _first_fit(lambda option: _convert(value, option, path), arguments, path, value)
    if origin is Literal:
        if value not in arguments:
            raise _wrong(path, "one of " + ", ".join(map(str, arguments)), value)
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _wrong(path, "a list", value)
        items = cast(Sequence[Any], value)
        kinds = _item_types(arguments, len(items), path, value)
        pairs = enumerate(zip(items, kinds, strict=True))
        return tuple(_convert(item, kind, f"{path}[{i}]") for i, (item, kind) in pairs)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise _wrong(path, "an object", value)
        entries = cast(Mapping[str, Any], value)
        return {k: _convert(v, arguments[1], f"{path}[{k}]") for k, v in entries.items()}
    return _convert_scalar(value, annotation, path)


def _convert_scalar(value: object, annotation: object, path: str) -> object:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if annotation is float:
        if number is None or not math.isfinite(number):
            raise _wrong(path, "a finite number", value)
        return float(number)
    if annotation is int:
        if not isinstance(number, int):
            raise _wrong(path, "a whole number", value)
        return number
    named = {bool: "true or false", str: "a string", NoneType: "none"}
    for kind, name in named.items():
        if annotation is kind:
            if not isinstance(value, kind):
                raise _wrong(path, name, value)
            return value
    raise TypeError(f"{path}: configs cannot hold fields of type {annotation}")


def _item_types(arguments: tuple[Any, ...], count: int, path: str, value: object) -> list[Any]:
    if arguments[-1] is Ellipsis:
        return [arguments[0]] * count
    if len(arguments) != count:
        raise _wrong(path, f"a list of {len(arguments)}", value)
    return list(arguments)


def _first_fit(
    read: Callable[[object], object], options: tuple[Any, ...], path: str, value: object
) -> object:
    """Return the first reading that fits; strings come last, since they take any text."""
    reasons: list[str] = []
    for option in sorted(options, key=lambda option: option is str):
        try:
            return read(option)
        except UserError as error:
            reasons.append(str(error))
    raise UserError(f"{path}: {value!r} fits none of its types ({'; '.join(reasons)})")


def _assign(data: dict[str, Any], config_type: type[Config], key: str, text: str) -> None:
    """Set one dotted key in the plain data of a config."""
    head, dot, rest = key.partition(".")
    hints = _field_types(config_type)
    _check_known(head, hints, "")
    if not dot:
        data[head] = _parse(text, hints[head], head)
        return
    options = get_args(hints[head]) or (hints[head],)
    inner = [option for option in options if dataclasses.is_dataclass(option)]
    if len(inner) != 1 or not isinstance(data[head], dict):
        raise UserError(f"{head} has no fields to set one by one; set it whole: {head}=...")
    _assign(cast(dict[str, Any], data[head]), cast(type[Config], inner[0]), rest, text)


def _parse(text: str, annotation: object, path: str) -> object:
    """Read the text of an override as plain data of a field's type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if dataclasses.is_dataclass(annotation) or origin is dict:
        return _read_json(text, path)  # from_dict checks it with the rest
    if origin in (Union, UnionType):
        return _first_fit(lambda option: _parse(text, option, path), arguments, path, text)
    if origin is Literal:
        named = {str(choice): choice for choice in arguments}
        return _convert(named.get(text, text), annotation, path)
    if origin is tuple and any(get_origin(kind) is tuple for kind in arguments):
        return _read_json(text.replace("(", "[").replace(")", "]"), path)
    if origin is tuple:
        items = [item.strip() for item in text.strip("()[]").split(",") if item.strip()]
        kinds = _item_types(arguments, len(items), path, text)
        return [_parse(item, kind, path) for item, kind in zip(items, kinds, strict=True)]
    if annotation is str:
        return text
    return _convert(_read_scalar(text), annotation, path)


def _read_scalar(text: str) -> object:
    words: dict[str, object] = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
