"""ENCODER_METHODS: classification methods on the features of a user's encoder, and all methods together."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vaebench.classification.classifier import LinearProbe
from vaebench.classification.encoded_images import EncodedImages
from vaebench.classification.methods import METHODS, SCORE_SCALE, Method, MethodContext, propagate_labels
from vaebench.classification.neighbours import NeighbourClassifier
from vaebench.evaluation.features import Codes
from vaebench.evaluation.probes import Logistic


def _fit_line(context: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    return _linear_probe(_encoded(context).codes.mean, rows, labels, context.classes)


def _fit_neighbours(context: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    scores = SCORE_SCALE * F.one_hot(labels, context.classes).float()
    return NeighbourClassifier(None, _encoded(context).codes.mean[rows], scores).eval()


def _fit_graph(context: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    encoded = _encoded(context)
    return propagate_labels(context, encoded.feature_graph, rows, labels, encoded.projection)


def _fit_vae_line(context: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    encoded = _encoded(context)
    return _linear_probe(torch.from_numpy(encoded.latents), rows, labels, context.classes, encoded.network)


def _fit_vae_graph(context: MethodContext, rows: Tensor, labels: Tensor, seed: int) -> nn.Module:
    encoded = _encoded(context)
    return propagate_labels(context, encoded.latent_graph, rows, labels, encoded.network)


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
