#!/usr/bin/env bash
# safetensors 0.8.0 writes a transposed or strided numpy array without an error, and reads other values back.
#
# Guess: save_file either copies the array to C order or refuses it, as safetensors.torch does ('non contiguous
# tensor').
# Instead: the bytes are written in memory order under the logical shape, so the values are exchanged. A transposed
# batch of images (N H W C to N C H W) and a component matrix in Fortran order are such arrays.
# Source: https://github.com/safetensors/safetensors/issues/825 (0.7.0 was right).
#
# Output seen:
#   safetensors 0.8.0
#   C order: saved [0.0, 1.0, 2.0, 3.0], loaded [0.0, 1.0, 2.0, 3.0]
#   channels first: saved [0.0, 3.0, 6.0, 9.0], loaded [0.0, 1.0, 2.0, 3.0]
#   every second column: saved [0.0, 1.0, 2.0, 6.0], loaded [0.0, 1.0, 2.0, 3.0]
#   one channel: saved [0.0, 3.0, 6.0, 9.0], loaded [0.0, 1.0, 2.0, 3.0]
#   Fortran order: saved [0.0, 1.0, 2.0, 3.0], loaded [0.0, 3.0, 1.0, 4.0]
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check numpy==2.4.6 safetensors==0.8.0
cd "$folder"
"$folder/venv/bin/python" - <<'EOF'
import numpy as np
import safetensors
from safetensors.numpy import load, save

print("safetensors", safetensors.__version__)
images = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)  # N H W C
wrong = []
for name, array in {
    "C order": images,
    "channels first": images.transpose(0, 3, 1, 2),
    "every second column": images[:, :, ::2],
    "one channel": images[..., 0],
    "Fortran order": np.asfortranarray(images[0, 0]),
}.items():
    back = load(save({"x": array}))["x"]
    wrong.append(not np.array_equal(back, array))
    print(f"{name}: saved {array.ravel()[:4].tolist()}, loaded {back.ravel()[:4].tolist()}")
assert wrong == [False, True, True, True, True], wrong
EOF
