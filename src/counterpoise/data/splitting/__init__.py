"""How the rows of a data set are shared out to pretrain, fit, select and test."""
