#!/usr/bin/env bash
# datasets 5.2.0: a 16-bit colour array becomes an 8-bit image by dropping the high byte, 256 becoming black.
#
# Guess: scaled to 8 bits, clipped, or refused, as float colour arrays are (TypeError).
# Instead: Image() casts modulo 256, with the warning 'Downcasting array dtype uint16 to uint8'. 12-bit brightness 0,
# 255, 256, 1000, 4095 is stored as 0, 255, 0, 232, 255. A grey uint16 array is stored losslessly as TIFF.
# Source: encode_np_array in datasets/features/image.py.
#
# Output seen:
#   datasets 5.2.0
#   grey: [0, 255, 256, 1000, 4095] stored as uint16 [0, 255, 256, 1000, 4095]; 0 warning(s)
#   colour: [0, 255, 256, 1000, 4095] stored as uint8 [0, 255, 0, 232, 255]; 1 warning(s)
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check numpy==2.4.6 pillow==13.0.0 datasets==5.2.0
cd "$folder"
"$folder/venv/bin/python" - <<'EOF'
import warnings

import datasets
import numpy as np

print("datasets", datasets.__version__)
grey = np.tile(np.array([0, 255, 256, 1000, 4095], np.uint16), (5, 1))
feature, stored = datasets.Image(), {}
for name, array in {"grey": grey, "colour": np.stack([grey] * 3, 2)}.items():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cell = feature.encode_example(array)
    image = np.asarray(feature.decode_example({"path": None, "bytes": cell["bytes"]}))
    stored[name] = image[0].reshape(5, -1)[:, 0].tolist()
    print(f"{name}: {grey[0].tolist()} stored as {image.dtype} {stored[name]}; {len(caught)} warning(s)")
assert stored == {"grey": [0, 255, 256, 1000, 4095], "colour": [0, 255, 0, 232, 255]}, stored
EOF
