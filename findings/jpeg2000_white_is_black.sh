#!/usr/bin/env bash
# Guess: Pillow reads 16-bit colours of JPEG 2000 as 8-bit colours, so white stays white.
# Instead: stored values from 65408 on, white among them, are read as 0; 65407 is still 255. The reduction to 8 bits
# rounds by adding 128 to the 16-bit value, which wraps. Grey files of 16 bits are read with their own values.
# The file is written by imagecodecs without loss, and imagecodecs reads the same values back.
#
# Seen with Pillow 13.0.0, imagecodecs 2026.3.6:
#   stored  65279 65280 65407 65408 65535
#   colour    255   255   255     0     0
#   grey    65279 65280 65407 65408 65535
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pillow==13.0.0 imagecodecs==2026.3.6 numpy==2.4.6
"$folder/env/bin/python" - <<'PYTHON'
import io
from importlib.metadata import version

import imagecodecs
import numpy as np
from PIL import Image

values = np.array([65279, 65280, 65407, 65408, 65535], np.uint16)
grey = np.tile(values, (16, 4))
colour = np.stack([grey] * 3, -1)
files = {name: imagecodecs.jpeg2k_encode(array, level=0) for name, array in {"grey": grey, "colour": colour}.items()}
assert (imagecodecs.jpeg2k_decode(files["colour"]) == colour).all(), "the file does not hold the values"
read = {name: np.asarray(Image.open(io.BytesIO(data))) for name, data in files.items()}
print("Pillow", version("pillow"), "imagecodecs", version("imagecodecs"))
print("stored", *values)
print("colour", *read["colour"][0, :5, 0])
print("grey  ", *read["grey"][0, :5])
assert read["colour"].dtype == np.uint8 and read["colour"][0, :5, 0].tolist() == [255, 255, 255, 0, 0]
assert read["grey"].dtype == np.uint16 and (read["grey"] == grey).all()
PYTHON
