"""Classify a folder of images of which some are labelled, then classify a new image.

    python examples/own_folder.py runs/example

The script first writes 400 digits as PNG files and a table with 4 labels a class. From 5 labels a class on,
``classify`` also cross-validates, and its report states the accuracy to expect; that takes longer.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import vaebench as vb

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/example-own-folder")
photos = folder / "photos"
photos.mkdir(parents=True, exist_ok=True)
digits = load_digits()
for index in range(400):
    Image.fromarray((digits.images[index] * 15).astype(np.uint8)).save(photos / f"{index:03}.png")
with (folder / "labels.csv").open("w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["file", "label"])
    for label in range(10):
        for index in np.flatnonzero(digits.target[:400] == label)[:4]:
            table.writerow([f"{index:03}.png", f"digit {label}"])

result = vb.classify(photos, [folder / "labels.csv"], folder / "classified", side=16, augmentation="strokes")
predicted = result.probabilities.argmax(1).numpy()
classes = np.array([int(name.split()[1]) for name in result.classifier.classes])
print(f"accuracy on all 400 images: {np.mean(classes[predicted] == digits.target[:400]):.3f}")
print("a new image:", result.classifier.predict([photos / "399.png"]))
print("model for `vaebench predict`:", folder / "classified" / "model")
