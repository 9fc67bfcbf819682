"""Write `docs/rpu-fields.md`, every field of an RPU configuration: `python -m docs.fields`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from simulator.config import json_schema
from simulator.config.effects import FORWARD, NOISE_MODELS, Apart, Effect, Place, Strength
from simulator.config.no_effect import NO_EFFECT, NOISE_MODEL_NO_EFFECT

PAGE: Final = Path(__file__).with_name("rpu-fields.md")
_INTRODUCTION: Final = """\
# Every field of an RPU configuration

This page is generated from the models that read configurations, so it agrees with
`GET /v1/rpu-configs/schema`. [Choosing the hardware fields](choosing-hardware.md) explains the fields that
matter most, with pictures.

"No effect if" says when a field changes nothing, whatever its value; `POST /v1/rpu-configs/validate` reports
such a field when you set it. A field without an entry always acts. Fields of the analog backward pass, of
the in-memory weight update and of the runtime are accepted for compatibility with aihwkit and change
nothing; they are listed at the end.
"""
_HEAD: Final = "| field | default | permitted | meaning | no effect if |\n| --- | --- | --- | --- | --- |\n"
_INERT: Final = {
    "backward": "the backward pass is that of the digital network, with straight-through converters",
    "update": "there is no in-memory weight update; training updates weights digitally",
    "device": "the noise model describes the devices",
    "runtime": "tiles compute in 32-bit floats",
}
# In the order in which readers need them.
_PARTS: Final = (
    "forward",
    "pre_post",
    "mapping",
    "noise_model",
    "drift_compensation",
    "modifier",
    "clip",
    "remap",
)
_REFERENCE: Final = "#/$defs/"


class Schema:
    """The published JSON Schema, with its references followed."""

    def __init__(self) -> None:
        self.root = json_schema()
        self._definitions: dict[str, Any] = self.root["$defs"]

    def members(self, node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield what a schema may be; one that is no union is itself."""
        if "$ref" in node:
            yield from self.members(self._definitions[node["$ref"].removeprefix(_REFERENCE)])
            return
        alternatives = [*node.get("anyOf", ()), *node.get("oneOf", ())]
        if not alternatives:
            yield node
        for one in alternatives:
            yield from self.members(one)

    def objects(self, node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return the members that have fields."""
        return [one for one in self.members(node) if one.get("properties")]


def page() -> str:
    """Return the page."""
    schema = Schema()
    properties: dict[str, Any] = schema.root["properties"]
    parts = [_INTRODUCTION]
    for name in _PARTS:
        parts.extend(_sections(schema, name, properties[name], level=2))
        if name == "noise_model":
            parts.extend(_converters(schema, properties[name]))
    parts += [_inert(schema, properties), _effects()]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _converters(schema: Schema, noise_model: Mapping[str, Any]) -> Iterator[str]:
    """Yield the sections of the conductance converters, which all noise models share."""
    found: dict[str, Mapping[str, Any]] = {}
    for model in schema.objects(noise_model):
        for one in schema.objects(model["properties"].get("g_converter", {})):
            found.setdefault(_type_of(one), one)
    yield "## `noise_model.g_converter`\n\nHow a weight becomes conductances. Its `type` says which:"
    for name, one in found.items():
        yield from _section(schema, f"`{name}`", "g_converter", one, level=3)


def _inert(schema: Schema, properties: Mapping[str, Any]) -> str:
    lines = [
        "## Fields for compatibility",
        "",
        "| part | why it changes nothing | fields |",
        "| --- | --- | --- |",
    ]
    for name, reason in _INERT.items():
        fields = sorted({field for one in schema.objects(properties[name]) for field in one["properties"]})
        lines.append(f"| `{name}` | {reason} | {', '.join(f'`{field}`' for field in fields)} |")
    return "\n".join(lines)


def _effects() -> str:
    """Return which field belongs to which group of effects of an error budget."""
    lines = [
        "## Groups of effects",
        "",
        "An [error budget](jobs.md#error-budget) switches these fields off together. Bold: the fields whose",
        "value is off then; the others of a group say how it acts, and stay. `drift_compensation` goes with",
        "`drift`, and the clipping of a static input range with `input_converter`, which leaves its scale.",
        "",
        "| group | `forward` | `noise_model` |",
        "| --- | --- | --- |",
    ]
    models: dict[str, Place] = {}
    for table in NOISE_MODELS.values():
        models |= table
    lines += [f"| `{one}` | {_of_group(FORWARD, one)} | {_of_group(models, one)} |" for one in Effect]
    lines += ["", "No group has these:", "", "| field | why it stays as configured |", "| --- | --- |"]
    for part, table in (("forward", FORWARD), ("noise_model", models)):
        lines += [
            f"| `{part}.{name}` | {place.reason} |"
            for name, place in table.items()
            if isinstance(place, Apart)
        ]
    return "\n".join(lines)


def _of_group(table: Mapping[str, Place], effect: Effect) -> str:
    names = []
    for name, place in table.items():
        if not isinstance(place, Apart) and place.effect is effect:
            names.append(f"**`{name}`**" if isinstance(place, Strength) else f"`{name}`")
    return ", ".join(names)


def _sections(schema: Schema, path: str, node: Mapping[str, Any], *, level: int) -> Iterator[str]:
    """Yield the sections of a part and of the parts in it."""
    objects = schema.objects(node)
    title = f"{'#' * level} `{path}`"
    if len(objects) > 1:
        yield f"{title}\n\n{_sentence(node.get('description', ''))} Its `type` says which:"
        for one in objects:
            yield from _section(schema, f"`{_type_of(one)}`", path, one, level=level + 1)
        return
    yield from _section(schema, f"`{path}`", path, objects[0], level=level)


def _section(schema: Schema, title: str, path: str, one: Mapping[str, Any], *, level: int) -> Iterator[str]:
    plain, nested = [], []
    for name, field in one["properties"].items():
        (nested if schema.objects(field) else plain).append((name, field))
    text = f"{'#' * level} {title}\n\n{_sentence(one.get('description', ''))}\n"
    rows = [_row(schema, f"{path}.{name}", name, field) for name, field in plain if name != "type"]
    if rows:
        text += "\n" + _HEAD + "".join(rows)
    if nested:
        links = " ".join(f"`{name}`: {_sentence(field.get('description', ''))}" for name, field in nested)
        text += f"\nFurther parts. {links}\n"
    yield text
    for name, field in nested:
        if path == "pre_post":
            yield from _sections(schema, f"{path}.{name}", field, level=level + 1)


def _row(schema: Schema, path: str, name: str, node: Mapping[str, Any]) -> str:
    members = list(schema.members(node))
    choices = [value for one in members for value in (*one.get("enum", ()), *(_const(one)))]
    limits = [text for one in members if (text := _limits(one))]
    permitted = ", ".join([*(f"`{value}`" for value in choices), *dict.fromkeys(limits)])
    reason = NO_EFFECT.get(path, (None, ""))[1]
    if path.startswith("noise_model."):
        reason = NOISE_MODEL_NO_EFFECT.get(name, (None, ""))[1]
    default = "" if "default" not in node else f"`{_value(node['default'])}`"
    meaning = _sentence(node.get("description", ""))
    return f"| `{name}` | {default} | {_cell(permitted)} | {_cell(meaning)} | {_cell(reason)} |\n"


def _const(node: Mapping[str, Any]) -> tuple[Any, ...]:
    return (node["const"],) if "const" in node else ()


def _limits(node: Mapping[str, Any]) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "minimum": "≥", "exclusiveMinimum": ">"}
    signs |= {"maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {_value(node[key])}" for key, sign in signs.items() if key in node]
    return " and ".join(found)


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower() if value is not None else "null"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _type_of(one: Mapping[str, Any]) -> str:
    kind = one["properties"].get("type", {})
    return str(kind.get("const", kind.get("default", one.get("title", ""))))


def _sentence(text: str) -> str:
    """Return the first paragraph, in one line."""
    first = " ".join(text.split("\n\n", maxsplit=1)[0].split())
    return first if not first or first.endswith((".", "!", "?")) else f"{first}."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
