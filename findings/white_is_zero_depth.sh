#!/usr/bin/env bash
# Whether a WhiteIsZero TIFF comes out as a negative depends on its depth (Pillow) and on the call (OpenCV).
#
# Guess: a reader either honours the photometric tag or does not: Pillow and OpenCV invert, tifffile returns the
# stored values.
# Instead: Pillow 13.0.0 and OpenCV 5.0.0 invert 1 and 8 bits, but return 16 bits as stored, without a remark; OpenCV
# inverts those again with IMREAD_GRAYSCALE. Saved at both depths, the same picture is read as two that are opposites.
# Source: tag 262 in section 8 of TIFF 6.0: 0 is imaged as white. Seen on files of tifffile 2026.3.3.
#
# Output seen:
#   Pillow 13.0.0 OpenCV 5.0.0 tifffile 2026.3.3
#   uint8 Pillow: [255, 192, 128, 0]
#   uint8 OpenCV unchanged: [255, 192, 128, 0]
#   uint8 OpenCV grey: [255, 192, 128, 0]
#   uint8 tifffile: [0, 63, 127, 255]
#   uint16 Pillow: [0, 16383, 32767, 65535]
#   uint16 OpenCV unchanged: [0, 16383, 32767, 65535]
#   uint16 OpenCV grey: [255, 192, 128, 0]
#   uint16 tifffile: [0, 16383, 32767, 65535]
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check numpy==2.4.6 pillow==13.0.0 tifffile==2026.3.3 opencv-python-headless==5.0.0.93
cd "$folder"
"$folder/venv/bin/python" - <<'EOF'
import cv2
import numpy as np
import PIL
import tifffile
from PIL import Image

print("Pillow", PIL.__version__, "OpenCV", cv2.__version__, "tifffile", tifffile.__version__)
inverted = {}
for dtype in (np.uint8, np.uint16):
    white = np.iinfo(dtype).max
    ramp = np.tile(np.array([0, white // 4, white // 2, white], dtype), (8, 2))  # stored 0 is white
    tifffile.imwrite("ramp.tif", ramp, photometric="miniswhite")
    with Image.open("ramp.tif") as image:
        readings = {"Pillow": np.asarray(image)}
    readings["OpenCV unchanged"] = cv2.imread("ramp.tif", cv2.IMREAD_UNCHANGED)
    readings["OpenCV grey"] = cv2.imread("ramp.tif", cv2.IMREAD_GRAYSCALE)
    readings["tifffile"] = tifffile.imread("ramp.tif")
    inverted[dtype.__name__] = {name: bool(x[0, 0] > x[0, 3]) for name, x in readings.items()}
    for name, x in readings.items():
        print(f"{dtype.__name__} {name}: {x[0, :4].tolist()}")
assert inverted["uint8"] == dict(zip(readings, (True, True, True, False))), inverted
assert inverted["uint16"] == dict(zip(readings, (False, False, True, False))), inverted
EOF
