#!/usr/bin/env bash
# Pillow 13.0.0: a TIFF with orientation 6 reports its turned size before it is loaded, with the tag still there.
#
# Guess: as for JPEG and PNG: size is that of the stored pixels, and swapping width and height for orientations 5 to 8
# gives the upright size without decoding.
# Instead: for TIFF alone, size is already turned while getexif() still says 6 (the tag goes with load()), so the
# usual swap turns it back.
# Source: https://github.com/python-pillow/Pillow/pull/8390 (size), https://github.com/python-pillow/Pillow/pull/7383
# (tag).
#
# Output seen:
#   Pillow 13.0.0
#   PNG: size (6, 4), orientation 6, so upright (4, 6); exif_transpose gives (4, 6)
#   JPEG: size (6, 4), orientation 6, so upright (4, 6); exif_transpose gives (4, 6)
#   TIFF: size (4, 6), orientation 6, so upright (6, 4); exif_transpose gives (4, 6)
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check numpy==2.4.6 pillow==13.0.0
cd "$folder"
"$folder/venv/bin/python" - <<'EOF'
import io

import numpy as np
import PIL
from PIL import Image, ImageOps

print("Pillow", PIL.__version__)
stored, exif = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6)), Image.Exif()
exif[0x0112] = 6
sizes = {}
for kind in ("PNG", "JPEG", "TIFF"):
    file = io.BytesIO()
    stored.save(file, kind, exif=exif)
    image = Image.open(file)
    before, tag = image.size, image.getexif().get(0x0112)
    swapped, upright = before[::-1] if tag == 6 else before, ImageOps.exif_transpose(image).size
    sizes[kind] = swapped == upright
    print(f"{kind}: size {before}, orientation {tag}, so upright {swapped}; exif_transpose gives {upright}")
assert sizes == {"PNG": True, "JPEG": True, "TIFF": False}, sizes
EOF
