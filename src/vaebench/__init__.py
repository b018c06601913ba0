"""vaebench: the workbench for variational autoencoders on images.

The names below are imported when first asked for, so that ``vaebench --help`` need not wait for torch.
"""

from importlib import import_module
from typing import Any

from vaebench.deprecated import NAMES, warn_renamed

__version__ = "0.2.0"

_PUBLIC = {
    "Compute": "vaebench.training.compute",
    "Data": "vaebench.data.datasets",
    "EncoderFile": "vaebench.classification.encoder",
    "Images": "vaebench.data.images",
    "Model": "vaebench.models.vae",
    "RECIPES": "vaebench.runs.recipe",
    "Recipe": "vaebench.runs.recipe",
    "Run": "vaebench.runs.run",
    "SemiSupervisedVAEClassifier": "vaebench.estimators",
    "Training": "vaebench.training.loop",
    "VAE": "vaebench.models.vae",
    "VAEClassifier": "vaebench.estimators",
    "VAETransformer": "vaebench.estimators",
    "VaebenchError": "vaebench.core.errors",
    "classify": "vaebench.classification.job",
    "inspect": "vaebench.inspection.job",
    "load_classifier": "vaebench.classification.classifier",
    "predict": "vaebench.classification.prediction",
    "run": "vaebench.runs.pipeline",
    "train": "vaebench.training.loop",
    "write_report": "vaebench.runs.report.report",
}
__all__ = [*_PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:
    if name in NAMES:
        warn_renamed(f"vaebench.{name}", f"vaebench.{NAMES[name]}")
        name = NAMES[name]
    if name not in _PUBLIC:
        raise AttributeError(f"module 'vaebench' has no attribute {name!r}; it has {', '.join(sorted(_PUBLIC))}")
    return getattr(import_module(_PUBLIC[name]), name)
