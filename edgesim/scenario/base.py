"""What all sections of a scenario share: strict frozen models, whole numbers, and short forms of mappings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from edgesim.registry import suggestion
from edgesim.units import shown

LARGEST: Final = 2**53
"""No count in a scenario is larger, so that floats hold it exactly."""


def fault(text: str, help_: str = "", *, key: str = "") -> PydanticCustomError:
    """Make the error that validators raise.

    Args:
        text: What is wrong, in the user's words.
        help_: What to do next.
        key: The key of the validated mapping that is to blame, if one is.
    """
    return PydanticCustomError("edgesim_value_error", "{text}", {"text": text, "help": help_, "key": key})


class Section(BaseModel):
    """A mapping of the scenario: fixed keys, frozen once it is read."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        defer_build=True,  # only the whole scenario is validated; its parts need no own validators
    )

    @model_validator(mode="wrap")
    @classmethod
    def _in_plain_words(cls, value: object, handler: ModelWrapValidatorHandler[Any]) -> Any:
        """Say which keys there are where one is unknown or missing; only here the model is at hand."""
        try:
            return handler(value)
        except ValidationError as error:
            raise ValidationError.from_exception_data(
                cls.__name__, [_reworded(cls, one) for one in error.errors()]
            ) from None

    @classmethod
    def keys(cls) -> dict[str, str]:
        """Answer the keys that may be written, with the names of the fields behind them."""
        return {field.alias or name: name for name, field in cls.model_fields.items()}


def _reworded(section: type[Section], error: Any) -> InitErrorDetails:
    """Turn what pydantic found into an error that can be raised again."""
    location, context = error["loc"], error.get("ctx", {})
    kind: str | PydanticCustomError = error["type"]
    own = len(location) == 1
    keys = section.keys()
    if kind == "extra_forbidden" and own:
        key = str(location[0])
        near = suggestion(key, keys)
        kind = PydanticCustomError(
            "unknown_key",
            "{text}",
            {"text": f"unknown key{near}", "help": "" if near else f"known: {', '.join(keys)}"},
        )
    elif kind == "missing" and own:
        key = str(location[0])
        description = section.model_fields[keys.get(key, key)].description or ""
        help_ = f"{key}: {description}" if description else ""
        kind = PydanticCustomError(
            "missing_key", "{text}", {"text": f"the key '{key}' is missing", "help": help_}
        )
    elif kind == "union_tag_not_found" and own:
        known = _kinds(section.model_fields[keys.get(str(location[0]), str(location[0]))].annotation)
        kind = PydanticCustomError(
            "missing_kind",
            "{text}",
            {"text": "the key 'kind' is missing", "help": f"kind: one of {', '.join(known)}"},
        )
    elif "text" in context:
        kind = PydanticCustomError(error["type"], "{text}", context)
    return {"type": kind, "loc": location, "input": error["input"], "ctx": context}


def _kinds(annotation: Any) -> list[str]:
    """List the words that may stand as the `kind` of a union."""
    known: list[str] = []
    for part in get_args(annotation):
        if isinstance(part, type) and issubclass(part, Section):
            known += get_args(part.model_fields["kind"].annotation)
        else:
            known += _kinds(part)
    return known


def whole(least: int = 0, most: int = LARGEST) -> Any:
    """Annotate an integer with its range; `1e6` is a whole number, `true` and `"3"` are not."""

    def check(value: object) -> int:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not float(value).is_integer():  # type: ignore[arg-type]  # known to be a number
            raise fault(f"{shown(value)} is not a whole number")
        if value < least:  # type: ignore[operator]
            raise fault(f"{shown(value)} is too small; it must be at least {least}")
        if value > most:  # type: ignore[operator]
            raise fault(f"{shown(value)} is too large; it must be at most {most}")
        return int(value)  # type: ignore[call-overload, no-any-return]

    schema: dict[str, Any] = {"type": "integer", "minimum": least}
    return BeforeValidator(check), WithJsonSchema(schema if most == LARGEST else {**schema, "maximum": most})


def real(least: float = -math.inf, *, strict: bool = False) -> Any:
    """Annotate a plain number without unit with its lower bound."""

    def check(value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise fault(f"{shown(value)} is not a number")
        if value < least or (strict and value == least):
            raise fault(
                f"{shown(value)} is too small; it must be {'more than' if strict else 'at least'} {least:g}"
            )
        return float(value)

    bound = {} if least == -math.inf else {"exclusiveMinimum" if strict else "minimum": least}
    return BeforeValidator(check), WithJsonSchema({"type": "number", **bound})


@dataclass(frozen=True, eq=False)  # schemas cannot be hashed, typing hashes annotations
class _OrPlain:
    """Tells editors that a plain value may stand for a mapping."""

    plain: Mapping[str, Any]

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [dict(self.plain), handler(schema)]}


def short(plain: Mapping[str, Any], *keys: str, **fixed: Any) -> Any:
    """Let a plain value stand for a mapping.

    Args:
        plain: JSON schema of the plain value.
        keys: Keys of the mapping that get the value.
        fixed: Further keys of the mapping.
    """

    def expand(value: object) -> object:
        return value if isinstance(value, Mapping | Section) else {**fixed, **dict.fromkeys(keys, value)}

    return BeforeValidator(expand), _OrPlain(plain)


def switch() -> Any:
    """Let `true` stand for a mapping without keys, and `false` for nothing."""

    def expand(value: object) -> object:
        return ({} if value else None) if isinstance(value, bool) else value

    return BeforeValidator(expand), _OrPlain({"type": "boolean"})


def _name(value: str) -> str:
    if (
        not value
        or value != value.strip()
        or any(not letter.isprintable() or letter in "/\\[]" for letter in value)
    ):
        raise fault(f"{shown(value)} is not a name; use letters, digits, '-', '_' and '.'")
    return value


Name = Annotated[str, AfterValidator(_name)]
"""What people call a thing: no slashes or brackets, which file names and paths need."""

Count = Annotated[int, *whole(1)]
WholeNumber = Annotated[int, *whole(0)]
Tokens = Annotated[int, *whole(1, 2**31 - 1)]
Positive = Annotated[float, *real(0.0, strict=True)]
NonNegative = Annotated[float, *real(0.0)]
