"""Training, export and evaluation. The only part of hrd that may import torch."""
