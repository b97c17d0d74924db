"""Media types: what the client takes and what it sends."""

from dataclasses import dataclass

from rollout.sandbox.apiserver.errors import ApiError, bad_request

ACCEPTED = "application/json, application/yaml, application/vnd.kubernetes.protobuf"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A form of answer: JSON or YAML, as the object, a Table or metadata alone."""

    media: str = "application/json"
    form: str = ""
    version: str = ""
    raw: str = "application/json"


def _parts(header: str) -> list[tuple[str, dict[str, str]]]:
    found = []
    for item in header.split(","):
        media, *params = (part.strip() for part in item.split(";"))
        pairs = dict(param.split("=", 1) for param in params if "=" in param)
        found.append((media, pairs))
    return found


def wanted(accept: str, *, custom: bool = False) -> Wanted:
    """The first form of the Accept header that can be given; raises 406."""
    for media, params in _parts(accept or "*/*"):
        form = params.get("as", "")
        if media in {"*/*", "application/*"}:
            return Wanted()
        if media not in {"application/json", "application/yaml"}:
            continue
        if not form:
            return Wanted(media, raw=media)
        known = form in {"Table", "PartialObjectMetadata", "PartialObjectMetadataList"}
        if known and params.get("g") == "meta.k8s.io" and params.get("v") in {"v1", "v1beta1"}:
            return Wanted(media, form.removesuffix("List"), params["v"], media)
        if params.get("g") == "apidiscovery.k8s.io" and params.get("v") == "v2":
            return Wanted(media, form, "v2", media)
    raise not_acceptable(custom=custom)


def not_acceptable(*, custom: bool) -> ApiError:
    """406, in the words of either part of the original."""
    if custom:
        return ApiError(406, "NotAcceptable", f"only the following media types are accepted: {ACCEPTED}")
    return ApiError(406, "NotAcceptable", f"406: Not Acceptable\n\nAvailable representations: {ACCEPTED}", {})


def body_media(content_type: str) -> str:
    """The media type of a body; raises 415 where it can't be read."""
    media = content_type.split(";")[0].strip() or "application/json"
    if media in {"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"}:
        return media
    if not media:
        raise bad_request("a body needs a content type")
    text = f"the body of the request was in an unknown format - accepted media types include: {ACCEPTED}"
    raise ApiError(415, "UnsupportedMediaType", text)
