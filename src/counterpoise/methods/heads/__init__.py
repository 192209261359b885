"""Methods on the last linear layer: WIN, and banks of penalised heads."""
