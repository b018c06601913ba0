"""Studies: experiments of many steps, each done once and kept, under a budget, with figures."""
