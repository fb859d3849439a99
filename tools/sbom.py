"""The bill of materials, in CycloneDX: what runs when the package does, from the environment the release is made in.

Every distribution that the wheel needs, directly or through others, with the exact version that is installed here, and
its licence; those that only an extra needs are optional.  Beside them the C libraries that their wheels bring along, as
far as these tell what they are: what a wheel does not tell is left out of its component, not guessed.

The same environment and date make the same bytes: the serial number is made from the contents.
"""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import uuid
import zipfile
from collections.abc import Iterable
from datetime import datetime
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path
from typing import Final

import lmdb
import zmq
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from broker.extras import EXTRAS as OPTIONAL

__all__ = ["EXTRAS", "bill_of_materials", "needed"]

NAME: Final = "broker-mesh"
# What users can ask for; bench and dev are a maintainer's.
EXTRAS: Final = tuple(sorted({*OPTIONAL.values()}))
# Of distributions that say it in words of their own.
_LICENCES: Final = {
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: BSD License": "BSD-3-Clause",
    "License :: OSI Approved :: MIT License": "MIT",
    "Apache 2.0": "Apache-2.0",
}
_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, f"pkg:pypi/{NAME}")
_NO_SERIAL: Final = uuid.UUID(int=0)


def bill_of_materials(wheel: Path, when: datetime) -> str:
    """The bill of materials of a wheel as CycloneDX 1.6 JSON; PackageNotFoundError if it needs what is not here."""
    [about] = (path for path in zipfile.Path(wheel).iterdir() if path.name.endswith(".dist-info"))
    ours = PathDistribution(about)
    required, wanted = needed(ours, ()), needed(ours, EXTRAS)
    root = _component(ours, None)
    root.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(wheel.read_bytes()).hexdigest()))
    components = {
        name: _component(found, ComponentScope.REQUIRED if name in required else ComponentScope.OPTIONAL)
        for name, found in wanted.items()
    }
    bundled = _bundled()
    bom = Bom(serial_number=_NO_SERIAL, components=[*components.values(), *itertools.chain(*bundled.values())])
    bom.metadata.timestamp = when
    bom.metadata.component = root
    bom.register_dependency(root, [components[need] for need in _requirements(ours, EXTRAS)])
    for name, found in wanted.items():
        needs = [components[need] for need in _requirements(found, ())]
        bom.register_dependency(components[name], [*needs, *bundled.get(name, ())])
    first = JsonV1Dot6(bom).output_as_string(indent=2)
    bom.serial_number = uuid.uuid5(_NAMESPACE, first)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def needed(ours: Distribution, extras: Iterable[str]) -> dict[str, Distribution]:
    """What is needed, through others too, by canonical name."""
    found: dict[str, Distribution] = {}
    waiting = _requirements(ours, extras)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = distribution(name)
            waiting += _requirements(found[name], ())
    return dict(sorted(found.items()))


def _requirements(found: Distribution, extras: Iterable[str]) -> list[str]:
    """Canonical names of what a distribution requires on this machine, an extra of its own resolved."""
    needs: set[str] = set()
    wanted, done = ["", *extras], set[str]()
    own = canonicalize_name(found.metadata["Name"])
    while wanted:
        extra = wanted.pop()
        done.add(extra)
        for requirement in map(Requirement, found.requires or ()):
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
                continue
            name = canonicalize_name(requirement.name)
            if name == own:
                wanted += requirement.extras - done
            else:
                needs.add(name)
    return sorted(needs)


def _component(found: Distribution, scope: ComponentScope | None) -> Component:
    name = canonicalize_name(found.metadata["Name"])
    return Component(
        name=name,
        version=found.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{name}=={found.version}",
        purl=PackageURL("pypi", name=name, version=found.version),
        scope=scope,
        licenses=[LicenseFactory().make_from_string(licence)] if (licence := _licence(found)) else [],
    )


def _licence(found: Distribution) -> str:
    """What a distribution says of its licence, as an SPDX expression where it can be told; "" if it says nothing."""
    fields = found.metadata
    said = next((fields[name] for name in ("License-Expression", "License") if name in fields), "")
    if not said:
        known = [_LICENCES[line] for line in fields.get_all("Classifier", []) if line in _LICENCES]
        said = " OR ".join(known)
    return _LICENCES.get(said, said)


# --- C libraries in wheels -----------------------------------------------------------------------------------------


def _bundled() -> dict[str, list[Component]]:
    """The C libraries that wheels bring along, by distribution."""
    zeromq = _library("libzmq", zmq.zmq_version(), "MPL-2.0", "pyzmq")
    # The library's wheel is one file: its version is told by its changelog alone.
    nacl = _library("libsodium", None, "ISC", "pynacl")
    sodium = [_library("libsodium", version, "ISC", "pyzmq") for version in _sodium_versions()]
    database = _library("lmdb", ".".join(map(str, lmdb.version())), "OLDAP-2.8", "lmdb")
    return {"pyzmq": [zeromq, *sodium], "pynacl": [nacl], "lmdb": [database]}


def _library(name: str, version: str | None, licence: str, owner: str) -> Component:
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{owner}/{name}",
        purl=PackageURL("generic", name=name, version=version),
        scope=ComponentScope.REQUIRED,
        licenses=[LicenseExpression(licence)],
        properties=[Property(name=f"{NAME}:bundled-by", value=owner)],
    )


def _sodium_versions() -> list[str | None]:
    """The version of the libsodium in pyzmq's wheel; none if this pyzmq was built against the system's."""
    versions: list[str | None] = []
    for path in Path(zmq.__file__).parent.parent.glob("pyzmq.libs/libsodium*"):
        tell = ctypes.CDLL(str(path)).sodium_version_string
        tell.restype = ctypes.c_char_p
        versions.append(tell().decode())
    return versions
