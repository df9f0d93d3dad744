"""The replicator's own wheel, packed from the package that runs here, however it was installed.

Only `replicator` goes in: a host that runs it has no use for what provisions hosts. The same code gives the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import importlib.util
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

DISTRIBUTION = "pgherd"
PACKAGE = "replicator"
ENTRY_POINTS = f"[console_scripts]\n{PACKAGE} = {PACKAGE}.cli:main\nbucardo_ctl = {PACKAGE}.bucardo:main\n"
EPOCH = (2020, 1, 1, 0, 0, 0)


def own_wheel(needs: Sequence[str]) -> tuple[str, bytes]:
    """The wheel's file name and content. needs: what it requires, as pip takes it."""
    version = importlib.metadata.version(DISTRIBUTION)
    info = f"{DISTRIBUTION}-{version}.dist-info"
    files = _code()
    files[f"{info}/METADATA"] = "".join(
        f"{line}\n"
        for line in (
            "Metadata-Version: 2.1",
            f"Name: {DISTRIBUTION}",
            f"Version: {version}",
            *(f"Requires-Dist: {need}" for need in needs),
        )
    ).encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: pgherd\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = ENTRY_POINTS.encode()
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")
    return f"{DISTRIBUTION}-{version}-py3-none-any.whl", _zipped(files)


def _code() -> dict[str, bytes]:
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None and spec.origin is not None
    root = Path(spec.origin).parent
    found = sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(root.parent)): path.read_bytes() for path in found}


def _record(files: dict[str, bytes], itself: str) -> bytes:
    lines = []
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}\n")
    return ("".join(lines) + f"{itself},,\n").encode()


def _zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return buffer.getvalue()
