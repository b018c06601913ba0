#!/usr/bin/env bash
# scikit-learn 1.9.1: label propagation gives samples that no label reaches the first class, and says nothing.
#
# Guess: transduction_ keeps -1, label_distributions_ is uniform or NaN, or a warning is issued.
# Instead: their row of label_distributions_ is zero and argmax makes it classes_[0]; fit is silent. With kernel='knn'
# and n_neighbors=1 that is every unlabelled sample, as each sample counts as its own nearest neighbour.
# Source: https://github.com/scikit-learn/scikit-learn/issues/34351 (rows of zeros); seen here in both classes.
#
# Output seen:
#   scikit-learn 1.9.1
#   LabelSpreading, n_neighbors=2: [3, 3, 5, 5, 3, 3], row sums [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]
#   LabelSpreading, n_neighbors=1: [3, 3, 5, 3, 3, 3], row sums [1.0, 0.0, 1.0, 0.0, 0.0, 0.0]
#   LabelPropagation, n_neighbors=2: [3, 3, 5, 5, 3, 3], row sums [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]
#   LabelPropagation, n_neighbors=1: [3, 3, 5, 3, 3, 3], row sums [1.0, 0.0, 1.0, 0.0, 0.0, 0.0]
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
cd "$folder"
"$folder/venv/bin/python" - <<'EOF'
import warnings

import numpy as np
import sklearn
from sklearn.semi_supervised import LabelPropagation, LabelSpreading

warnings.simplefilter("error")
print("scikit-learn", sklearn.__version__)
codes = np.array([[0.0], [1.0], [10.0], [11.0], [100.0], [101.0]])  # three clusters, the last without a label
labels = np.array([3, -1, 5, -1, -1, -1])
seen = {}
for kind in (LabelSpreading, LabelPropagation):
    for neighbours in (2, 1):
        model = kind(kernel="knn", n_neighbors=neighbours).fit(codes, labels)
        seen[kind.__name__, neighbours] = model.transduction_.tolist()
        sums = model.label_distributions_.sum(1).tolist()
        print(f"{kind.__name__}, n_neighbors={neighbours}: {model.transduction_.tolist()}, row sums {sums}")
for kind in ("LabelSpreading", "LabelPropagation"):
    assert seen[kind, 2] == [3, 3, 5, 5, 3, 3], seen
    assert seen[kind, 1] == [3, 3, 5, 3, 3, 3], seen
EOF
