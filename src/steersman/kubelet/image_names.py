"""Names of images as pods write them: completed, or cut down to the repository."""

from __future__ import annotations

from steersman.meta.imagereferences import parse


def with_default_tag(image: str) -> str:
    """``image`` as it is written, with ``:latest`` where it has neither tag nor digest. Raises ``ValueError``."""
    reference = parse(image)
    if reference.digest or image.endswith(f":{reference.tag}"):
        return image
    return f"{image}:{reference.tag}"


def without_tag(image: str) -> str:
    """``image`` as it is written but for its tag and digest. Raises ``ValueError``."""
    reference = parse(image)
    bare = image.removesuffix(f"@{reference.digest}") if reference.digest else image
    return bare.removesuffix(f":{reference.tag}") if reference.tag else bare


def repository_of(image: str) -> str:
    """``registry/repository``, with Docker Hub's where ``image`` names none. Raises ``ValueError``."""
    return parse(image).name
