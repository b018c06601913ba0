#!/usr/bin/env bash
# Guess: a picture of equal channels, saved as lossy WebP, has equal channels again, as with JPEG, whose chroma is constant.
# Instead: WebP gives the channels of grey pixels different values, by one level, at every quality tried; JPEG does not.
# So a reader that takes equal channels as grey takes such pictures as coloured.
#
# Seen with Pillow 13.0.0, libwebp 1.6.0, a ramp of all 256 grey levels:
#   WebP at quality 50, 75, 90, 100: channels differ by at most 1, in 2 % of the pixels
#   JPEG at the same: equal
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pillow==13.0.0 numpy==2.4.6
"$folder/env/bin/python" - <<'PYTHON'
import io
from importlib.metadata import version

import numpy as np
from PIL import Image, features

ramp = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
grey = Image.fromarray(np.stack([ramp] * 3, -1))
print("Pillow", version("pillow"), "libwebp", features.version("webp"))
apart = {}
for kind in ("WEBP", "JPEG"):
    for quality in (50, 75, 90, 100):
        data = io.BytesIO()
        grey.save(data, kind, quality=quality)
        pixels = np.asarray(Image.open(data).convert("RGB")).astype(int)
        gap = pixels.max(2) - pixels.min(2)
        apart[kind, quality] = int(gap.max())
        print(f"{kind} quality {quality}: channels differ by at most {gap.max()}, in {(gap > 0).mean():.0%} of the pixels")
assert all(gap == 1 for (kind, _), gap in apart.items() if kind == "WEBP"), apart
assert all(gap == 0 for (kind, _), gap in apart.items() if kind == "JPEG"), apart
PYTHON
