"""pyautoencoder: its VAE with the default loss; the library has no trainer, the loop is that of its README."""

import torch
from ask import BATCH, RATE, Network
from pyautoencoder.loss import log_likelihood
from pyautoencoder.variational import VAE
from torch import nn
from torch.utils.data import DataLoader

IMPORTED = "yes"
KINDS = {"gaussian": "line", "bernoulli": "binary"}


def vae(latents, width):
    """VAE with the network of the comparison."""
    model = VAE(nn.Sequential(Network(784, width), nn.ReLU()), Network(latents, width, 784), latents)
    model.build(torch.zeros(1, 784))
    return model


def train(model, images, epochs, folder):
    """Train by Adam on the default loss."""
    optimiser = torch.optim.Adam(model.parameters(), RATE)
    loader = DataLoader(images.flatten(1), BATCH, shuffle=True)
    for _ in range(epochs):
        for x in loader:
            optimiser.zero_grad()
            model.compute_loss(x, model(x)).objective.backward()
            optimiser.step()
    return model


def encode(model, x):
    """Mean and log-variance of q(z|x)."""
    output = model.encode(x.flatten(1))
    return output.mu, output.log_var


def decode(model, z):
    """Mean of p(x|z)."""
    return model.decode(z.unsqueeze(1)).x_hat.squeeze(1)


class Head(nn.Module):
    """Given means and log-variances as the layer after the encoder."""

    def __init__(self, mean, log_variance):
        super().__init__()
        self.mean, self.log_variance = mean, log_variance

    def forward(self, x, S=1, sample=True):
        noise = torch.randn(len(self.mean), S, self.mean.shape[1])
        z = self.mean[:, None] + (self.log_variance / 2).exp()[:, None] * noise
        return z, self.mean, self.log_variance


class Given(nn.Module):
    """The same output for every code."""

    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, z):
        return self.output


def with_posterior(mean, log_variance, decoder):
    """VAE with a given posterior."""
    model = VAE(nn.Identity(), decoder, mean.shape[1])
    model.sampling_layer = Head(mean, log_variance)
    return model


class Fixed:
    """VAE with a given posterior and decoder output."""

    def __init__(self, mean, log_variance, output, kind=None):
        self.model = with_posterior(mean, log_variance, Given(output))
        self.output, self.kind = output, kind

    def loss(self, x):
        return float(self.model.compute_loss(x, self.model(x)).objective)

    def log_density(self, x):
        return float(log_likelihood(x, self.output, self.kind).sum())


def evidence(weights, images, mean, log_variance):
    """``elbo`` of the loss, which is log p(x) where the posterior is exact."""
    decoder = nn.Linear(2, 4, bias=False)
    decoder.weight.data = weights
    model = with_posterior(mean, log_variance, decoder)
    with torch.no_grad():
        result = model.compute_loss(images, model(images, S=200_000))
    return {"name": 'diagnostics["elbo"]', "value": float(result.diagnostics["elbo"])}


resumed = None
save = None
