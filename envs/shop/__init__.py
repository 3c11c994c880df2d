"""A shop in text, as in WebShop."""
