"""Print the pinned versions of everything that napari-morse[all,dev] needs, as installed in this environment."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def wanted() -> list[Requirement]:
    """Requirements that the project itself names."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    return [Requirement(line) for line in project["dependencies"] + extras["all"] + extras["dev"]]


def needed(requirement: Requirement) -> list[Requirement]:
    """Requirements of an installed package under the extras asked of it, on this platform."""
    extras = {"", *requirement.extras}
    parsed = [Requirement(line) for line in distribution(requirement.name).requires or []]
    return [r for r in parsed if r.marker is None or any(r.marker.evaluate({"extra": extra}) for extra in extras)]


def closure() -> dict[str, str]:
    """Names and public versions of all that is reached, a CPU build's local tag taken off."""
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    queue = wanted()
    while queue:
        requirement = queue.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            found[key[0]] = Version(distribution(requirement.name).version).public
        except PackageNotFoundError as error:
            message = f"{requirement} is not installed: run `make venv` first"
            raise SystemExit(message) from error
        queue += needed(requirement)
    return found


print("# Versions that are installed and tested together. Made by `make constraints`; no index is named on purpose.")
for name, version in sorted(closure().items()):
    print(f"{name}=={version}")
