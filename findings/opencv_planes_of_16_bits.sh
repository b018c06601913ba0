#!/usr/bin/env bash
# Guess: a TIFF of RGB colours in planes (PlanarConfiguration 2) is read by OpenCV like one whose samples are together,
# or refused.
# Instead: with 8 bits the colours are right; with 16 bits imread returns an array of the right shape and type in which
# the first plane is taken for colours: its first three values become red, green and blue of the first pixel.
#
# Seen with opencv-python-headless 5.0.0.93, tifffile 2026.3.3:
#   8 bits: 100 % of the values right
#   16 bits: 0.1 % of the values right; first pixel 33375 55746 60367 is the begin of the red plane
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q opencv-python-headless==5.0.0.93 tifffile==2026.3.3 numpy==2.4.6
"$folder/env/bin/python" - "$folder" <<'PYTHON'
import sys
from importlib.metadata import version

import cv2
import numpy as np
import tifffile

print("OpenCV", version("opencv-python-headless"), "tifffile", version("tifffile"))
planes = np.random.default_rng(0).integers(0, 65536, (3, 16, 20), np.uint16)
right = {}
for bits, stored in {8: (planes >> 8).astype(np.uint8), 16: planes}.items():
    path = f"{sys.argv[1]}/{bits}.tif"
    tifffile.imwrite(path, stored, photometric="rgb", planarconfig="separate")
    assert (tifffile.imread(path) == stored).all(), "the file does not hold the values"
    read = cv2.imread(path, cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert read.dtype == stored.dtype and read.shape == (16, 20, 3)
    right[bits] = (read == np.moveaxis(stored, 0, 2)).mean()
    print(f"{bits} bits: {100 * right[bits]:.1f} % of the values right")
print("first pixel:", *read[0, 0], "- begin of the red plane:", *planes[0, 0, :3])
assert right[8] == 1 and right[16] < 0.01
assert read[0, 0].tolist() == planes[0, 0, :3].tolist()
PYTHON
