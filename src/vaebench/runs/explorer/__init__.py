"""The latent explorer: an HTML page that runs the encoder and decoder in the browser."""
