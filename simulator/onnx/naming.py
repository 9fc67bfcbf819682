"""Names for the layers of a graph: the user's own, as far as the exporter kept them.

A layer's name is the qualified name of its torch module ("features.0"), so that a pattern on names means the
same to the report, to the configuration and to the imported module.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterable
from typing import NamedTuple

import onnx

_SCOPES_KEY = "pkg.torch.onnx.name_scopes"
_LONGEST_SCOPES = 4096
_MADE_UP = re.compile(
    r"^(onnx::|val_\d|_?tensor_constant|constant|const_|/|_to_copy|\d+$|.*_output_\d+$)", re.IGNORECASE
)
# The last part of a parameter's name, which says what it is to its layer and not which layer it is.
_PARAMETER = re.compile(
    r"^(weight|bias|kernel|gamma|beta|scale|shift|moving_(mean|variance)|running_(mean|var)|matmul|biasadd"
    r"|readvariableop|conv[123]d|w|b|r|(weight|bias)_.*|batchnorm.*)$",
    re.IGNORECASE,
)
_PARAMETER_SUFFIX = re.compile(r"_(weight|bias|kernel|W|B|b|w)$")
# Attributes of torch's modules; a child of such a name would hide them.
_RESERVED_NAMES = (
    "T add_module apply bfloat16 buffers call call_super_init children code compile constants cpu "
    "cuda double dump_patches eval extra_repr float forward get_buffer get_parameter "
    "get_submodule graph half ipu load_state_dict meta modules mtia named_buffers named_children "
    "named_modules named_parameters parameters print_readable recompile register_buffer "
    "register_module register_parameter requires_grad_ set_submodule share_memory state_dict to "
    "to_empty train training type xpu zero_grad"
)


class Scope(NamedTuple):
    """The user's module that a node came from.

    Attributes:
        path: its qualified name.
        exact: whether the exporter says so; the older one gives a name that is right for the first call of a
            module and numbered for further calls.
    """

    path: str
    exact: bool

    def contradicts(self, other: Scope) -> bool:
        """Whether two nodes cannot have come from one module."""
        return self.exact and other.exact and self.path != other.path


def scope_of(node: onnx.NodeProto) -> Scope | None:
    """Return the module that a node came from, as torch's exporters note it.

    The current exporter keeps it in the node's metadata; the older one in the node's name, where
    "/layer1/layer1.0/conv1/Conv" stands for `layer1.0.conv1`.
    """
    for entry in node.metadata_props:
        if entry.key == _SCOPES_KEY and len(entry.value) <= _LONGEST_SCOPES:
            path = _path_in_metadata(entry.value)
            return Scope(path, exact=True) if path else None
    parts = node.name.split("/")
    if parts[0] or len(parts) < 3:
        return None
    path = ""
    for part in parts[1:-1]:
        path = part if not path or part.startswith(f"{path}.") else f"{path}.{part}"
    qualified = _qualified(path)
    return Scope(qualified, exact=False) if qualified else None


def _path_in_metadata(text: str) -> str | None:
    try:
        scopes = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(scopes, list) or len(scopes) < 3 or not isinstance(scopes[-2], str):
        return None
    return _qualified(scopes[-2])


def is_made_up(name: str) -> bool:
    """Whether an exporter made up the name of a value."""
    return bool(_MADE_UP.match(name))


def layer_of_parameter(name: str) -> str | None:
    """Return the layer that a parameter's name names, None for a name that an exporter made up."""
    if is_made_up(name):
        return None
    parts = [part for part in re.split(r"[./]", name.split(":", maxsplit=1)[0]) if part]
    parts = [
        part for part in parts if part != "StatefulPartitionedCall"
    ]  # a wrapper of TensorFlow's exporter
    while len(parts) > 1 and _PARAMETER.match(parts[-1]):
        parts.pop()
    if not parts:
        return None
    parts[-1] = _PARAMETER_SUFFIX.sub("", parts[-1]) or parts[-1]
    return _qualified(".".join(parts))


def loose_parameter(name: str) -> str | None:
    """Return the qualified name of a parameter that belongs to no layer, None for a made-up name."""
    return None if is_made_up(name) else _qualified(name)


def _qualified(text: str) -> str | None:
    """Return text as a dotted path of attribute names, None if nothing is left of it."""
    parts = (re.sub(r"\W+", "_", part).strip("_") for part in re.split(r"[./]", text))
    return ".".join(part for part in parts if part) or None


class Names:
    """Hands out qualified names, each once, none inside of another."""

    _RESERVED = frozenset(_RESERVED_NAMES.split())

    def __init__(self) -> None:
        self._leaves: set[str] = set()
        self._containers: set[str] = set()

    def claim(self, candidates: Iterable[str | None], fallback: str) -> str:
        """Return the first candidate that is free, or the first one with a number added.

        Args:
            candidates: names in order of preference; None is skipped.
            fallback: what to number when there is no candidate.
        """
        wanted = [self._clear(name) for name in candidates if name] or [fallback]
        for name in wanted:
            if self._free(name):
                return self._take(name)
        flat = [name.replace(".", "_") for name in wanted if not self._taken_as_leaf(name)]
        base = flat[0] if flat else wanted[0]
        if self._free(base):
            return self._take(base)
        number = 1
        while not self._free(f"{base}_{number}"):
            number += 1
        return self._take(f"{base}_{number}")

    def _clear(self, name: str) -> str:
        taken = self._RESERVED
        parts = (f"{part}_" if part in taken or keyword.iskeyword(part) else part for part in name.split("."))
        return ".".join(parts)

    def _taken_as_leaf(self, name: str) -> bool:
        return name in self._leaves

    def _free(self, name: str) -> bool:
        prefixes = _prefixes(name)
        return name not in self._leaves and name not in self._containers and not self._leaves & prefixes

    def _take(self, name: str) -> str:
        self._leaves.add(name)
        self._containers |= _prefixes(name)
        return name


def _prefixes(name: str) -> set[str]:
    parts = name.split(".")
    return {".".join(parts[:count]) for count in range(1, len(parts))}
