"""The latent explorer: one page that runs the encoder and decoder in the browser."""
