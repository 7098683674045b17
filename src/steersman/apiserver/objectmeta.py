"""Rules of ``metadata`` that hold for every kind: what the server sets, what nobody may change, what is well formed.

Source: upstream's registry/rest (BeforeCreate, BeforeUpdate) and api/validation (ObjectMeta).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from steersman.apiserver.call import Call
from steersman.meta import names, times
from steersman.meta.errors import BadRequest, FieldError, forbidden, invalid, required, too_long
from steersman.meta.objects import Object
from steersman.schema.kind import Kind

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
NAME_SUFFIX_LENGTH = 5
GENERATED_NAME_LIMIT = 63
_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_ANNOTATIONS_LIMIT_BYTES = 256 * 1024
_SYSTEM_FIELDS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")
_IMMUTABLE = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
_UUID_FIXED = 0xF << 76 | 0b11 << 62
_UUID_VERSION_4 = 0x4 << 76 | 0b10 << 62
_IMMUTABLE_TEXT = "field is immutable"
_STANDARD_FINALIZERS = frozenset({"kubernetes", ORPHAN, FOREGROUND})


def generate_name(base: str, rng: random.Random) -> str:
    """``base`` and five random characters that make no words; long bases are cut so that the name stays a label."""
    suffix = "".join(rng.choices(_SUFFIX_ALPHABET, k=NAME_SUFFIX_LENGTH))
    return base[: GENERATED_NAME_LIMIT - NAME_SUFFIX_LENGTH] + suffix


def new_uid(rng: random.Random) -> str:
    """A random UUID, version 4 of RFC 9562, as ``uuid`` writes it, at half of its cost: every request needs one."""
    bits = rng.getrandbits(128) & ~_UUID_FIXED | _UUID_VERSION_4
    digits = bits.to_bytes(16, "big").hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def wipe_system_fields(metadata: dict[str, Any]) -> None:
    """What clients may not say about a new object."""
    for field in _SYSTEM_FIELDS:
        metadata.pop(field, None)


def fill_system_fields(metadata: dict[str, Any], *, now_s: float, rng: random.Random) -> None:
    metadata["uid"] = new_uid(rng)
    metadata["creationTimestamp"] = times.format_time(now_s)


def match_namespace(metadata: dict[str, Any], namespace: str, kind: Kind) -> None:
    """Take the namespace from the URL. Raises ``BadRequest`` where the object names another one."""
    expected = namespace if kind.resource.namespaced else ""
    own = metadata.get("namespace") or ""
    if own == expected:
        return
    if not own:
        metadata["namespace"] = expected
    elif not expected:
        metadata.pop("namespace", None)
    else:
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")


def match_name(metadata: dict[str, Any], name: str) -> None:
    """Raises ``BadRequest`` where the object has another name than the URL."""
    own = metadata.get("name") or ""
    if not own:
        raise BadRequest(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")
    if own != name:
        raise BadRequest(f"the name of the object ({own}) does not match the name on the URL ({name})")


def deduplicate_owner_references(metadata: dict[str, Any], call: Call, *, after_admission: bool = False) -> None:
    """Drop owner references that occur twice, with a warning."""
    references = metadata.get("ownerReferences")
    if not references or len(references) < 2:
        return
    kept: list[Any] = []
    repeated: list[str] = []
    for reference in references:
        if reference in kept:
            repeated.append(str(reference.get("uid")))
        else:
            kept.append(reference)
    if repeated:
        when = " after mutating admission happens" if after_admission else ""
        call.warn(
            f".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and "
            f"may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
            f"{', '.join(repeated)}"
        )
        metadata["ownerReferences"] = kept


def carry_over(new: dict[str, Any], old: dict[str, Any]) -> None:
    """What an update keeps of the old metadata, whatever the client sent."""
    for field in ("generation", "creationTimestamp", "deletionTimestamp"):
        if field in old:
            new[field] = old[field]
        elif field == "generation":
            new.pop(field, None)
    new["uid"] = new.get("uid") or old.get("uid")
    if "deletionGracePeriodSeconds" in old:
        new.setdefault("deletionGracePeriodSeconds", old["deletionGracePeriodSeconds"])


def validate(metadata: Object, kind: Kind) -> list[FieldError]:
    """Everything but what an update compares."""
    errors = _name_errors(metadata, kind)
    if kind.resource.namespaced and not metadata.get("namespace"):
        errors.append(required("metadata.namespace"))
    elif kind.resource.namespaced:
        space = metadata["namespace"]
        errors += [invalid("metadata.namespace", space, text) for text in names.label_errors(space)]
    elif metadata.get("namespace"):
        errors.append(forbidden("metadata.namespace", "not allowed on this type"))
    labels = metadata.get("labels")
    if labels:
        errors += label_errors(labels)
    annotations = metadata.get("annotations")
    if annotations:
        errors += annotation_errors(annotations)
    references = metadata.get("ownerReferences")
    if references:
        errors += _owner_reference_errors(references)
    finalizers = metadata.get("finalizers")
    if finalizers:
        errors += _finalizer_errors(finalizers, must_qualify=kind.qualifies_finalizers)
    managed = metadata.get("managedFields")
    if managed:
        errors += _managed_fields_errors(managed)
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    """What an update of ``metadata`` may not change."""
    errors: list[FieldError] = []
    if old.get("deletionTimestamp"):
        added = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
        if added:
            shown = ", ".join(f'"{name}"' for name in added)
            detail = (
                "no new finalizers can be added if the object is being deleted, found new finalizers "
                f"[]string{{{shown}}}"
            )
            errors.append(forbidden("metadata.finalizers", detail))
    if (new.get("generation") or 0) < (old.get("generation") or 0):
        errors.append(invalid("metadata.generation", new.get("generation"), "must not be decremented"))
    errors += [
        invalid(f"metadata.{field}", new.get(field), _IMMUTABLE_TEXT)
        for field in _IMMUTABLE
        if new.get(field) != old.get(field)
    ]
    return errors


def _name_errors(metadata: Object, kind: Kind) -> list[FieldError]:
    check: Callable[[str], list[str]] = kind.name_errors or names.subdomain_errors
    errors: list[FieldError] = []
    generate = metadata.get("generateName")
    if generate:
        masked = generate[:-1] + "a" if generate.endswith("-") and len(generate) > 1 else generate
        errors += [invalid("metadata.generateName", generate, text) for text in check(masked)]
    name = metadata.get("name")
    if not name:
        errors.append(required("metadata.name", "name or generateName is required"))
    else:
        errors += [invalid("metadata.name", name, text) for text in check(name)]
    return errors


def label_errors(labels: dict[str, str]) -> list[FieldError]:
    errors: list[FieldError] = []
    for key, value in labels.items():
        errors += [invalid("metadata.labels", key, text) for text in names.label_key_errors(key)]
        errors += [invalid("metadata.labels", value, text) for text in names.label_value_errors(value)]
    return errors


def annotation_errors(annotations: dict[str, str]) -> list[FieldError]:
    errors: list[FieldError] = []
    size_bytes = 0
    for key, value in annotations.items():
        errors += [invalid("metadata.annotations", key, text) for text in names.label_key_errors(key.lower())]
        size_bytes += len(key) + len(value)
    if size_bytes > _ANNOTATIONS_LIMIT_BYTES:
        errors.append(too_long("metadata.annotations", _ANNOTATIONS_LIMIT_BYTES))
    return errors


def _owner_reference_errors(references: Sequence[Object]) -> list[FieldError]:
    errors: list[FieldError] = []
    controller = ""
    for reference in references:
        path = "metadata.ownerReferences"
        group_version = str(reference.get("apiVersion") or "")
        if not group_version.rpartition("/")[2]:
            errors.append(invalid(f"{path}.apiVersion", group_version, "version must not be empty"))
        errors += [
            invalid(f"{path}.{field}", "", "must not be empty")
            for field in ("kind", "name", "uid")
            if not reference.get(field)
        ]
        if (group_version, reference.get("kind")) == ("v1", "Event"):
            errors.append(invalid(path, reference, "/v1, Kind=Event is disallowed from being an owner"))
        if reference.get("controller"):
            own = f"{reference.get('kind')}/{reference.get('name')}"
            if controller:
                detail = (
                    'Only one reference can have Controller set to true. Found "true" in references for '
                    f"{controller} and {own}"
                )
                errors.append(invalid(path, list(references), detail))
            controller = controller or own
    return errors


def _finalizer_errors(finalizers: Sequence[str], *, must_qualify: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, finalizer in enumerate(finalizers):
        texts = names.label_key_errors(finalizer)
        errors += [invalid("metadata.finalizers", finalizer, text) for text in texts]
        if must_qualify and "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            text = "name is neither a standard finalizer name nor is it fully qualified"
            errors.append(invalid(f"metadata.finalizers[{position}]", finalizer, text))
    if ORPHAN in finalizers and FOREGROUND in finalizers:
        detail = f"finalizer {ORPHAN} and {FOREGROUND} cannot be both set"
        errors.append(invalid("metadata.finalizers", list(finalizers), detail))
    return errors


def _managed_fields_errors(entries: Sequence[Object]) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, entry in enumerate(entries):
        path = f"metadata.managedFields[{position}]"
        if entry.get("operation") not in ("Apply", "Update"):
            errors.append(invalid(f"{path}.operation", entry.get("operation"), "must be `Apply` or `Update`"))
        if entry.get("fieldsType") not in (None, "", "FieldsV1"):
            errors.append(invalid(f"{path}.fieldsType", entry["fieldsType"], "must be `FieldsV1`"))
        if len(str(entry.get("manager") or "")) > 128:
            errors.append(too_long(f"{path}.manager", 128))
    return errors
