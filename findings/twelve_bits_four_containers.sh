#!/usr/bin/env bash
# The same 12-bit picture differs by a factor of 16 between file formats, and Pillow and OpenCV disagree about which.
#
# Guess: a reader has one rule for all formats: stored values 0 to 4,095, or all stretched to 16 bits.
# Instead: Pillow 13.0.0 stretches PGM (by 65535/4095) and JPEG 2000 (by 16), but not TIFF or PNG. OpenCV 5.0.0
# stretches packed 12-bit TIFF (by 16) and nothing else. tifffile and imagecodecs return the stored values.
# Source: observed; Pillow's PpmImagePlugin scales by the file's maxval.
#
# Output seen:
#   Pillow 13.0.0 OpenCV 5.0.0
#   tiff-16.tif: Pillow [0, 1, 1000, 4095], OpenCV [0, 1, 1000, 4095]
#   tiff-12.tif: Pillow [0, 1, 1000, 4095], OpenCV [0, 16, 16000, 65520]
#   png-16.png: Pillow [0, 1, 1000, 4095], OpenCV [0, 1, 1000, 4095]
#   pgm-4095.pgm: Pillow [0, 16, 16004, 65535], OpenCV [0, 1, 1000, 4095]
#   jp2-12.jp2: Pillow [0, 16, 16000, 65520], OpenCV [0, 1, 1000, 4095]
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check numpy==2.4.6 pillow==13.0.0 tifffile==2026.3.3 imagecodecs==2026.3.6 opencv-python-headless==5.0.0.93
cd "$folder"
"$folder/venv/bin/python" - <<'EOF'
import os
from pathlib import Path

os.environ["OPENCV_LOG_LEVEL"] = "SILENT"
import cv2
import imagecodecs
import numpy as np
import PIL
import tifffile
from PIL import Image

print("Pillow", PIL.__version__, "OpenCV", cv2.__version__)
ramp = np.tile(np.array([0, 1, 1000, 4095], np.uint16), (8, 2))
tifffile.imwrite("tiff-16.tif", ramp, photometric="minisblack")
tifffile.imwrite("tiff-12.tif", ramp, photometric="minisblack", bitspersample=12)
Path("png-16.png").write_bytes(imagecodecs.png_encode(ramp))
Path("pgm-4095.pgm").write_bytes(b"P5\n8 8\n4095\n" + ramp.astype(">u2").tobytes())
Path("jp2-12.jp2").write_bytes(imagecodecs.jpeg2k_encode(ramp, bitspersample=12, reversible=True, level=0))
assert (tifffile.imread("tiff-12.tif") == ramp).all()
assert (imagecodecs.imread("jp2-12.jp2") == ramp).all()
brightest = {}
for path in ("tiff-16.tif", "tiff-12.tif", "png-16.png", "pgm-4095.pgm", "jp2-12.jp2"):
    with Image.open(path) as image:
        pillow = np.asarray(image)[0, :4].tolist()
    opencv = cv2.imread(path, cv2.IMREAD_UNCHANGED)[0, :4].tolist()
    brightest[path] = pillow[3], opencv[3]
    print(f"{path}: Pillow {pillow}, OpenCV {opencv}")
assert list(brightest.values()) == [(4095, 4095), (4095, 65520), (4095, 4095), (65535, 4095), (65520, 4095)], brightest
EOF
