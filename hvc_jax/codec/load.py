"""The codec of a variant, of a model file, or of a stream."""

import os
from pathlib import Path
from typing import BinaryIO

from hvc_jax.codec.codec import Codec
from hvc_jax.codec.conceal import RepairingDecoder
from hvc_jax.codec.field_codec import FieldCodec
from hvc_jax.codec.field_conceal import FieldRepairingDecoder
from hvc_jax.codec.memory import DEFAULT_MAX_MEMORY
from hvc_jax.models.export import Export, load_export
from hvc_jax.models.find import export_of_stream, export_of_variant
from hvc_jax.stream.header import NO_MODEL, WITH_FIELD, Header

AnyCodec = Codec | FieldCodec


def load(model: str | os.PathLike[str]) -> AnyCodec:
    """The codec of a shipped variant or of a model file made by `hvc export`; else ExportError."""
    text = os.fspath(model)
    return _codec(load_export(Path(text) if os.path.sep in text else text))


def codec_of_variant(
    variant: str, path: Path | None = None, max_memory: int = DEFAULT_MAX_MEMORY
) -> AnyCodec:
    """The codec to encode with, of a model file or, for None, the one that is shipped.

    `max_memory`: bytes that drawing may take at once, and key pictures. `hybrid` takes a semantic
    model too. Raises ModelError: There is no such model, or it is of another variant.
    """
    return _codec(export_of_variant(variant, path), max_memory, variant)


def codec_of_stream(
    header: Header, stream: Path, path: Path | None = None, max_memory: int = DEFAULT_MAX_MEMORY
) -> AnyCodec:
    """The codec that decodes a stream, whose name is for messages.

    `path`: the model file; None looks among those that are shipped and in HVC_MODELS. `max_memory`:
    bytes that drawing may take at once. Raises ModelError: There is no model with the stream's id.
    """
    if header.variant == "field" and header.model_id == NO_MODEL:
        return FieldCodec(max_memory=max_memory)
    return _codec(export_of_stream(header, stream, path), max_memory, header.variant)


def _codec(
    export: Export, max_memory: int = DEFAULT_MAX_MEMORY, variant: str | None = None
) -> AnyCodec:
    """The codec of a model, for streams of `variant`, its own by default."""
    if (variant or export.variant) in WITH_FIELD:
        return FieldCodec(export, max_memory=max_memory)
    return Codec(export, max_memory=max_memory)


def repairing_decoder(codec: AnyCodec, file: BinaryIO) -> RepairingDecoder | FieldRepairingDecoder:
    """What decodes a damaged stream as far as it can; see `RepairingDecoder`, as the errors."""
    if isinstance(codec, FieldCodec):
        return FieldRepairingDecoder(codec, file)
    return RepairingDecoder(codec, file)
