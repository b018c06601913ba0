#!/usr/bin/env bash
# Pillow 13.0.0 reads a 16-bit grey PNG as 16 bits, but with an alpha channel as 8-bit colour.
#
# Guess: LA, or 16 bits kept as without alpha: the PNG declares grey with alpha (colour type 4).
# Instead: the mode is RGBA: grey becomes three equal channels, and values are cut to the high byte, so a 12-bit
# picture (0 to 4,095) has 16 levels left. A pipeline that asks the mode trains a colour model on grey images.
# Source: observed; imagecodecs 2026.3.6 reads the same file as uint16 with 2 channels.
#
# Output seen:
#   Pillow 13.0.0
#   grey, 16 bits: mode I;16, 4096 of 4096 levels
#   grey + alpha, 16 bits: mode RGBA, 16 of 4096 levels
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check numpy==2.4.6 pillow==13.0.0 imagecodecs==2026.3.6
cd "$folder"
"$folder/venv/bin/python" - <<'EOF'
import io

import imagecodecs
import numpy as np
import PIL
from PIL import Image

print("Pillow", PIL.__version__)
grey = np.arange(4096, dtype=np.uint16).reshape(64, 64)
opaque, seen = np.full_like(grey, 65535), {}
for name, array in {"grey": grey, "grey + alpha": np.stack([grey, opaque], 2)}.items():
    png = imagecodecs.png_encode(array)
    assert np.array_equal(imagecodecs.png_decode(png), array)
    image = Image.open(io.BytesIO(png))
    levels = len(np.unique(np.asarray(image)[..., 0] if image.mode == "RGBA" else np.asarray(image)))
    seen[name] = image.mode, levels
    print(f"{name}, 16 bits: mode {image.mode}, {levels} of 4096 levels")
assert seen == {"grey": ("I;16", 4096), "grey + alpha": ("RGBA", 16)}, seen
EOF
