"""Images, their labels, and the fixed splits and draws made of them."""
