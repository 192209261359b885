"""Put the previous champion back."""
