"""Methods on the last linear layer: WIN, banks of penalised heads, and peers on the same features."""
