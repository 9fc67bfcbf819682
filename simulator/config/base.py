"""What all configuration models share: strictness, numbers, and types that are found by name.

Every model refuses unknown fields (naming the nearest known one), NaN, infinities where they have no meaning,
and numbers that do not fit float32, in which the simulator computes. Assignments are validated too.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    PlainSerializer,
    PrivateAttr,
    Strict,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

# A search for the nearest name takes a tenth of a millisecond and more: it is made for the first faults only,
# and for names that somebody may have typed.
_MOST_GUESSES = 20
_LONGEST_GUESSED = 64
_MOST_PLACES = 2
_DEEPEST_PLACE = 4
_EXPLAINED = frozenset({"extra_forbidden", "too_short"})
_MOST_LINES = 200  # of the faults of one model; the rest is counted
FLOAT32_MAX = 3.4028234663852886e38
FLOAT32_TINY = 1.1754943508222875e-38  # the smallest that keeps all of its digits

# Families whose JSON Schema is being written, from the outside in.
_OPEN_FAMILIES: ContextVar[frozenset[str]] = ContextVar("open_families", default=frozenset())


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that looks most like `name`, None when none does, or it is a very long one."""
    if len(name) > _LONGEST_GUESSED:
        return None
    folded = {candidate.casefold(): candidate for candidate in known}
    match = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.5)
    return folded[match[0]] if match else None


@dataclass(frozen=True)
class Unknown:
    """What is said of a name that nothing has.

    Attributes:
        message: that it is unknown.
        hint: the nearest known one, or where there is one of that name, or all that are known.
    """

    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.message}, {self.hint}"


def unknown(what: str, name: object, known: Iterable[str]) -> Unknown:
    """Say that a name is unknown, with the nearest known one and all of them."""
    names = sorted(known)
    guess = nearest(name, names) if isinstance(name, str) else None
    told = f"known: {', '.join(names) or 'none'}"
    hint = f"did you mean {guess!r}? ({told})" if guess else told
    return Unknown(f"unknown {what} {name!r}", hint)


def unknown_field(
    name: object,
    known: Iterable[str],
    *,
    places: Sequence[str] = (),
    beside: object = None,
    guessed: bool = True,
) -> Unknown:
    """Say that a field is unknown, with where one of that name is, the nearest known one, or all of them."""
    message = f"unknown field {name!r}"
    if places:
        where = "" if beside is None else f" beside {beside!r}"
        return Unknown(message, f"did you mean {' or '.join(repr(one) for one in places)}{where}?")
    names = sorted(known)
    guess = nearest(name, names) if isinstance(name, str) and guessed else None
    return Unknown(message, f"did you mean {guess!r}?" if guess else f"known: {', '.join(names)}")


def custom_error(code: str, message: str, *, hint: str | None = None) -> PydanticCustomError:
    """Return an error that pydantic reports with this code and this message, taken literally.

    Args:
        code: a stable name of the kind of fault.
        message: what is wrong.
        hint: what to do about it; in the error's context, for those who show it apart.
    """
    context = {"message": message} if hint is None else {"message": message, "hint": hint}
    return PydanticCustomError(code, "{message}" if hint is None else "{message}, {hint}", context)


def unknown_error(code: str, said: Unknown) -> PydanticCustomError:
    """Return the error of an unknown name."""
    return custom_error(code, said.message, hint=said.hint)


def _unknown_field_error(said: Unknown, *, is_unplaced: bool) -> PydanticCustomError:
    """Return the error of an unknown field; unplaced: the models around it may have one of that name."""
    context = {"message": said.message, "hint": said.hint}
    return PydanticCustomError(
        "unknown_field", "{message}, {hint}", {**context, "unplaced": True} if is_unplaced else context
    )


def _is_unplaced(line: Any) -> bool:
    return bool(line.get("ctx", {}).get("unplaced"))


def _fits_float32(value: float) -> float:
    if abs(value) > FLOAT32_MAX:
        raise custom_error("float32_overflow", f"{value!r} does not fit a 32-bit float (at most 3.4e38)")
    _check_not_tiny(value)
    return value + 0.0  # -0.0 and 0.0 are one value and hash alike


def _check_not_tiny(value: float) -> None:
    if 0 < abs(value) < FLOAT32_TINY:
        message = f"{value!r} is too small for a 32-bit float (0, or 1.2e-38 or more)"
        raise custom_error("float32_underflow", message)


def _read_bound(value: object) -> object:
    if value == "inf":
        return math.inf
    if isinstance(value, float) and value > FLOAT32_MAX:
        return math.inf
    return value


def _check_bound(value: float) -> float:
    if math.isnan(value) or value == -math.inf:
        raise custom_error("finite_number", "a bound is a number, or infinite or <= 0 for no bound")
    _check_not_tiny(value)
    return value + 0.0


Number = Annotated[float, Strict(), AfterValidator(_fits_float32)]
Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
Count = Annotated[int, Strict(), Field(ge=0, le=2**31 - 1)]
PositiveCount = Annotated[int, Strict(), Field(ge=1, le=2**31 - 1)]
Switch = Annotated[bool, Strict()]
Bound = Annotated[
    float,
    Strict(),
    Field(allow_inf_nan=True),
    AfterValidator(_check_bound),
    BeforeValidator(_read_bound),
    PlainSerializer(lambda value: "inf" if math.isinf(value) else value, when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"const": "inf"}]}),
]


class StrictModel(BaseModel):
    """A configuration model: unknown fields and non-finite numbers are errors, assignments are validated."""

    model_config = ConfigDict(
        extra="forbid",
        validate_assignment=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )

    # Fields that people look for here and that are not: what to do instead.
    elsewhere: ClassVar[Mapping[str, str]] = {}

    # Whether this is a value that layers were made by: it cannot be assigned to any more.
    _is_frozen: bool = PrivateAttr(default=False)

    def frozen(self) -> Self:
        """Return this configuration as a value that nobody can change: itself, or a frozen copy."""
        if self._is_frozen:
            return self
        copied = self.model_copy(deep=True)
        copied._freeze()  # noqa: SLF001 - a configuration of this class
        return copied

    def _freeze(self) -> None:
        for value in self.__dict__.values():
            if isinstance(value, StrictModel):
                value._freeze()  # noqa: SLF001 - a part of this configuration
        self._is_frozen = True

    def __eq__(self, other: object) -> bool:
        """Tell whether the other says the same, frozen or not."""
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, which can be changed whatever this one is; parts that are shared stay frozen."""
        copied = super().model_copy(update=update, deep=deep)
        copied._thaw(deep=deep)  # noqa: SLF001 - a configuration of this class
        return copied

    def _thaw(self, *, deep: bool) -> None:
        self._is_frozen = False
        for value in self.__dict__.values() if deep else ():
            if isinstance(value, StrictModel):
                value._thaw(deep=True)  # noqa: SLF001 - a part of this configuration

    @model_validator(mode="wrap")
    @classmethod
    def _name_the_nearest_field(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            lines = error.errors(include_url=False)
            if not any(line["type"] in _EXPLAINED or _is_unplaced(line) for line in lines):
                raise
            failed_items = {line["loc"][:-1] for line in lines if line["loc"]}
            explained = [
                cls._explained(line, guessed=index < _MOST_GUESSES)
                for index, line in enumerate(lines[:_MOST_LINES])
                # pydantic counts the valid items only: where an item failed, none is missing
                if not (line["type"] == "too_short" and line["loc"] in failed_items)
            ]
            if len(lines) > _MOST_LINES:
                rest = custom_error("more_errors", f"and {len(lines) - _MOST_LINES} more faults")
                explained.append(InitErrorDetails(type=rest, loc=(), input=None))
            raise ValidationError.from_exception_data(error.title, explained) from None

    @classmethod
    def _explained(cls, line: Any, *, guessed: bool) -> InitErrorDetails:
        kind, location = line["type"], line["loc"]
        details = InitErrorDetails(type=kind, loc=location, input=line["input"], ctx=line.get("ctx", {}))
        is_unknown = kind == "extra_forbidden" and len(location) == 1
        places = cls._places_of(location[-1]) if guessed and (is_unknown or _is_unplaced(line)) else ()
        if is_unknown and location[0] in cls.elsewhere:
            said = Unknown(f"unknown field {location[0]!r}", cls.elsewhere[location[0]])
            details["type"] = _unknown_field_error(said, is_unplaced=False)
        elif is_unknown:
            said = unknown_field(location[0], cls.model_fields, places=places, guessed=guessed)
            details["type"] = _unknown_field_error(said, is_unplaced=guessed and not places)
        elif places:  # what was unknown further inside is a field here, or of another part
            said = unknown_field(location[-1], (), places=places, beside=location[0])
            details["type"] = _unknown_field_error(said, is_unplaced=False)
        elif _is_unplaced(line):
            said = Unknown(line["ctx"]["message"], line["ctx"]["hint"])
            details["type"] = _unknown_field_error(said, is_unplaced=True)
        elif "message" in line.get("ctx", {}):
            details["type"] = custom_error(kind, line["ctx"]["message"], hint=line["ctx"].get("hint"))
        return details

    @classmethod
    def _places_of(cls, name: object) -> Sequence[str]:
        """Return where this model or its parts have a field of that name, the least nested first."""
        return _places(cls).get(name, ())[:_MOST_PLACES] if isinstance(name, str) else ()

    @classmethod
    def parts(cls) -> Iterator[tuple[str, type[StrictModel]]]:
        """Yield the fields that are models themselves, with every model that they may be."""
        for name, field in cls.model_fields.items():
            for part in _models_in(field.annotation):
                members = part.members.values() if issubclass(part, TypedConfig) and part.family else (part,)
                yield from ((name, member) for member in members)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in type(self).model_fields and not name.startswith("_"):
            raise AttributeError(f"{type(self).__name__}: {unknown_field(name, type(self).model_fields)}")
        if self._is_frozen and not name.startswith("_"):
            raise AttributeError(
                f"{type(self).__name__}.{name}: layers were made by this configuration, which cannot change "
                "any more; change a copy (model_copy(deep=True)) and convert the network anew"
            )
        before = dict(self.__dict__)
        try:
            super().__setattr__(name, value)
        except ValidationError:
            self.__dict__.update(before)  # a refused assignment leaves the model as it was
            raise


@cache
def _places(model: type[StrictModel]) -> dict[str, tuple[str, ...]]:
    """Return every field of a model and its parts: name -> dotted places, the least nested first."""
    found: dict[str, tuple[str, ...]] = {}
    owners: dict[str, list[type[StrictModel]]] = {}
    level: list[tuple[str, type[StrictModel]]] = [("", model)]
    for _ in range(_DEEPEST_PLACE):
        for prefix, owner in level:
            for name in owner.model_fields:
                # A part that is as another one (backward as forward) would only say the same twice.
                if any(issubclass(owner, other) for other in owners.get(name, ())):
                    continue
                owners.setdefault(name, []).append(owner)
                if prefix + name not in found.get(name, ()):
                    found[name] = (*found.get(name, ()), prefix + name)
        level = [(f"{prefix}{name}.", part) for prefix, owner in level for name, part in owner.parts()]
    found.pop("type", None)
    return found


def _models_in(annotation: Any) -> Iterator[type[StrictModel]]:
    if isinstance(annotation, type) and issubclass(annotation, StrictModel):
        yield annotation
        return
    for argument in get_args(annotation):
        yield from _models_in(argument)


class TypedConfig(StrictModel):
    """Base of the models that a `type` field distinguishes: noise models, converters, compensations.

    A subclass that names a `family` is one: fields are annotated with it, and validation finds the member by
    its name. A member declares `type: Literal["Name"] = "Name"`; declaring the class registers it, so that a
    user's own member validates from JSON as the built-in ones do. A class without a `type` default is
    abstract.
    """

    family: ClassVar[str] = ""
    members: ClassVar[dict[str, type[TypedConfig]]] = {}

    type: str

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if cls._is_family():
            cls.members = {}
            return
        name = cls.model_fields["type"].default
        if not isinstance(name, str):
            return
        taken = cls.members.get(name)
        if taken and (taken.__module__, taken.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(
                f"{cls.__qualname__}: the {cls.family} type {name!r} is taken by {taken.__qualname__}; "
                f'give the class its own `type: Literal["..."] = "..."`'
            )
        cls.members[name] = cls

    @classmethod
    def _is_family(cls) -> bool:
        return bool(cls.__dict__.get("family"))

    @classmethod
    def _find(cls, value: Any) -> TypedConfig:
        if isinstance(value, cls):
            return value
        if not isinstance(value, dict):
            raise custom_error(
                f"{cls.family.replace(' ', '_')}_type",
                f'a {cls.family} is an object with a "type": one of {", ".join(sorted(cls.members))}',
            )
        name = value.get("type")
        if name is None:
            raise custom_error(
                "type_missing",
                f'a {cls.family} needs a "type": one of {", ".join(sorted(cls.members))}',
            )
        member = cls.members.get(name) if isinstance(name, str) else None
        if member is None:
            raise unknown_error("unknown_type", unknown(cls.family, name, cls.members))
        return member.model_validate(value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if cls._is_family():
            return core_schema.no_info_plain_validator_function(cls._find)
        return handler(source)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        if not cls._is_family():
            return handler(schema)
        open_families = _OPEN_FAMILIES.get()
        if cls.family in open_families:  # a member that holds members of its own family
            return {"type": "object", "required": ["type"], "description": f"A {cls.family}."}
        token = _OPEN_FAMILIES.set(open_families | {cls.family})
        try:
            members = [handler(member.__pydantic_core_schema__) for _, member in sorted(cls.members.items())]
        finally:
            _OPEN_FAMILIES.reset(token)
        return {"oneOf": members, "description": f"A {cls.family}; its `type` says which."}
