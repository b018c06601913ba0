"""Fetch ONNX Runtime Web from the npm registry, check it, and keep what the explorer page needs of it."""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import io
import json
import tarfile
import urllib.request
from pathlib import Path

VERSION = "1.30.0"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
URL = "https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{version}.tgz"
SCRIPT, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
FOLDER = Path(__file__).parents[1] / "src/vaebench/explorer/runtime"


def main() -> None:
    """Write the script, the compressed WebAssembly and their checksums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default=URL.format(version=VERSION), help="where the package is fetched from")
    with urllib.request.urlopen(parser.parse_args().url) as answer:
        package = answer.read()
    found = base64.b64encode(hashlib.sha512(package).digest()).decode()
    if found != SHA512:
        raise SystemExit(f"the package's sha512 is {found}; expected {SHA512}")
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        script, wasm = (_member(archive, f"package/dist/{name}") for name in (SCRIPT, WASM))
    kept = {SCRIPT: script, f"{WASM}.gz": gzip.compress(wasm, 9, mtime=0)}
    for name, content in kept.items():
        (FOLDER / name).write_bytes(content)
    about = {
        "package": f"onnxruntime-web {VERSION}",
        "licence": "MIT; see LICENSE.txt",
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in kept.items()},
    }
    (FOLDER / "about.json").write_text(json.dumps(about, indent=1) + "\n")
    print(json.dumps(about, indent=1))


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


if __name__ == "__main__":
    main()
