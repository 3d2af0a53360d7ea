"""Several processes that share each batch of one run: who they are, how they meet, and who watches them."""
