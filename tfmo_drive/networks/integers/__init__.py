"""Writes models in what integer operators compute, and places the fake quantisers where these round."""
