"""Which files a dataset may come as, recognised by media type or name; a child process looks inside."""

from __future__ import annotations

from app.kit.uploads import OCTET_STREAM

# Format -> (media types, endings of file names).
_FORMATS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "npz": (("application/x-npz", "application/zip", "application/x-zip-compressed"), (".npz",)),
    "safetensors": (("application/vnd.safetensors", "application/x-safetensors"), (".safetensors",)),
    "parquet": (("application/vnd.apache.parquet", "application/x-parquet"), (".parquet",)),
    "csv": (("text/csv",), (".csv",)),
}
MEDIA_TYPES = (OCTET_STREAM, *(media_type for types, _ in _FORMATS.values() for media_type in types))


def format_of(media_type: str, filename: str | None) -> str:
    """Return the format of a file, `npz` when neither its type nor its name says."""
    for name, (media_types, _) in _FORMATS.items():
        if media_type in media_types:
            return name
    for name, (_, endings) in _FORMATS.items():
        if (filename or "").lower().endswith(endings):
            return name
    return "npz"
