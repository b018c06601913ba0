"""ENCODER_METHODS: classification methods on the features of a user's encoder, and all methods together."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vaebench.classification.classifier import LinearProbe
from vaebench.classification.encoded_images import EncodedImages
from vaebench.classification.methods import METHODS, Method, MethodContext
from vaebench.classification.neighbours import NeighbourClassifier
from vaebench.evaluation.features import Codes
from vaebench.evaluation.probes import Logistic
from vaebench.semi_supervised.graphs import Graph
from vaebench.semi_supervised.label_propagation import PropagationByLabelCount, unit_scale

SCORE_SCALE = 10.0
"""Logits of scores of unit scale, to which the cross-validation fits a temperature."""
IMPOSSIBLE = -1e4
"""Score of a class without labels."""
STORED = 30_000
"""Images whose codes and scores are kept for new images, the labelled ones among them."""


def _fit_line(context: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    return _linear_probe(_encoded(context).codes.mean, rows, labels, context.classes)


def _fit_neighbours(context: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    scores = SCORE_SCALE * F.one_hot(labels, context.classes).float()
    return NeighbourClassifier(None, _encoded(context).codes.mean[rows], scores).eval()


def _fit_graph(context: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    encoded = _encoded(context)
    return _propagated(encoded.feature_graph, rows, labels, context.classes, encoded.projection)


def _fit_vae_line(context: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    encoded = _encoded(context)
    return _linear_probe(torch.from_numpy(encoded.latents), rows, labels, context.classes, encoded.network)


def _fit_vae_graph(context: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    encoded = _encoded(context)
    return _propagated(encoded.latent_graph, rows, labels, context.classes, encoded.network)


def _encoded(context: MethodContext) -> EncodedImages:
    assert context.encoded is not None
    return context.encoded


def _linear_probe(
    codes: Float[Tensor, "N D"],
    rows: Int[Tensor, " M"],
    labels: Int[Tensor, " M"],
    classes: int,
    encoder: nn.Module | None = None,
) -> nn.Module:
    """A logistic regression on the codes of labelled images, standardised by those of all."""
    reference = Codes(codes, torch.zeros(len(codes), dtype=torch.long))
    labelled = reference.take(rows).with_labels(labels).standardised_by(reference)
    fitted = Logistic().fit_linear(labelled, classes).unstandardised(*reference.centre_and_scale())
    probe = LinearProbe(codes.shape[1], classes, encoder)
    probe.linear.load_state_dict({"weight": fitted.weight, "bias": fitted.bias})
    return probe.eval()


def _propagated(
    graph: Graph, rows: Int[Tensor, " M"], labels: Int[Tensor, " M"], classes: int, encoder: nn.Module | None
) -> nn.Module:
    """Labels propagated along the graph of all images; new images take the scores of their nearest neighbours."""
    scores = PropagationByLabelCount().propagate(graph, rows.numpy(), labels.numpy(), classes)
    scores = SCORE_SCALE * unit_scale(scores)
    scores[:, np.setdiff1d(np.arange(classes), labels.numpy())] = IMPOSSIBLE
    stored = np.union1d(np.random.default_rng(0).permutation(len(scores))[:STORED], rows.numpy())
    return NeighbourClassifier(encoder, torch.from_numpy(graph.codes[stored]), torch.from_numpy(scores[stored])).eval()


ENCODER_METHODS: dict[str, Method] = {
    "encoder-line": Method("linear probe on the encoder's features", "encoder", _fit_line),
    "encoder-neighbours": Method("nearest neighbours in the encoder's features", "encoder", _fit_neighbours),
    "encoder-graph": Method("label propagation on the encoder's features", "encoder", _fit_graph),
    "encoder-vae-line": Method("linear probe on a VAE of the encoder's features", "encoder", _fit_vae_line),
    "encoder-vae-graph": Method("label propagation on a VAE of the encoder's features", "encoder", _fit_vae_graph),
}
"""Methods by the name that files use. Their networks map features (B, F) to logits (B, Y)."""
WITHOUT_VAE = ("encoder-line", "encoder-neighbours", "encoder-graph")
ALL_METHODS: dict[str, Method] = METHODS | ENCODER_METHODS


def without_encoder(method: str, identity: dict[str, Any]) -> dict[str, Any]:
    """Return the identity of a fit, without the encoder where the method does not use it."""
    return {name: value for name, value in identity.items() if name != "encoder" or method in ENCODER_METHODS}
