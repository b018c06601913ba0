"""vaebench: the workbench for variational autoencoders on images."""

__version__ = "0.1.0"
