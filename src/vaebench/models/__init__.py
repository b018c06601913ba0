"""Networks, distributions, VAEs and their variants, and the objectives that train them."""
