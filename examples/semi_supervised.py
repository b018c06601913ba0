"""Learn from 10 labels a class and 1,300 unlabelled images with a scikit-learn estimator.

    python examples/semi_supervised.py

Logistic regression on the labelled images alone is the baseline.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import vaebench as vb

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, test_size=400, stratify=y, random_state=0)
partly_labelled = np.full_like(y_train, -1)  # -1: no label
for label in range(10):
    rows = np.flatnonzero(y_train == label)[:10]
    partly_labelled[rows] = label

classifier = vb.SemiSupervisedVAEClassifier(image_shape=(8, 8), random_state=0).fit(X_train, partly_labelled)
labelled = partly_labelled >= 0
baseline = LogisticRegression(max_iter=1000).fit(X_train[labelled], y_train[labelled])
print(f"semi-supervised VAE: {classifier.score(X_test, y_test):.3f}")
print(f"logistic regression on the labelled images: {baseline.score(X_test, y_test):.3f}")
