"""Long experiments of many steps, each computed once and kept, under a budget, with figures."""
