"""TOML documents: read into pydantic models with the first fault named in one line, and written from them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TypeVar

import tomli_w
from pydantic import BaseModel, ValidationError

from common.errors import ExitCode, Refusal
from common.files import write_atomic

MAX_DOCUMENT_BYTES = 64 * 1024

Model = TypeVar("Model", bound=BaseModel)


def read_document(model: type[Model], path: Path, code: ExitCode) -> Model:
    """Read a TOML file into ``model``.

    Raises:
        Refusal: ``code`` if the file is missing, larger than 64 KiB, not TOML, or does not fit the model.
    """
    mend = "name a readable TOML file"
    try:
        if path.stat().st_size > MAX_DOCUMENT_BYTES:
            raise Refusal(code, f"larger than {MAX_DOCUMENT_BYTES} bytes", where=str(path), mend=mend)
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(code, f"unreadable ({type(error).__name__})", where=str(path), mend=mend) from error
    return parse_document(model, text, str(path), code)


def parse_document(model: type[Model], text: str, where: str, code: ExitCode) -> Model:
    """Parse TOML text into ``model``; ``where`` names its origin. Raises as :func:`read_document` does."""
    try:
        return model.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise Refusal(code, f"not TOML: {error}", where=where, mend="correct the syntax at the place named") from error
    except RecursionError as error:
        raise Refusal(code, "nested too deeply", where=where, mend="remove the nesting") from error
    except ValidationError as error:
        raise first_fault(error, where, code) from error


def document_of(model: BaseModel) -> str:
    """The TOML text that :func:`parse_document` reads back as an equal model; what has its default is left out."""
    return tomli_w.dumps(model.model_dump(mode="json", exclude_defaults=True, exclude_none=True))


def write_document(model: BaseModel, path: Path, *, mode: int = 0o600) -> None:
    """Write a model as a TOML file, whole or not at all.

    Raises:
        Refusal: ``DISK_FULL`` or ``DISK_UNWRITABLE``.
    """
    write_atomic(path, document_of(model).encode(), mode=mode)


def first_fault(error: ValidationError, where: str, code: ExitCode) -> Refusal:
    """The first field that does not fit, in one line; the value itself is never quoted."""
    fault = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in fault["loc"]) or "document"
    if fault["type"] == "extra_forbidden":
        return Refusal(code, f"unknown key '{field}'", where=where, mend="remove it, or correct its spelling")
    return Refusal(code, f"{field}: {fault['msg']}", where=where, mend="correct this field")
