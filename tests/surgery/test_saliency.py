import numpy as np

from tfmo_drive.surgery import saliency


def test_parts_of_a_batch_that_are_held_one_after_another_sum_up_to_it(small_cnn, context, monkeypatch):
    weights = {layer.name: layer.kernel for layer in small_cnn.layers if hasattr(layer, "kernel")}
    whole = list(saliency.products(small_cnn, weights, context(), 100))
    monkeypatch.setattr(saliency, "_HELD", 7 * 32 * 32 * 3)  # parts of 7, and the last of 1
    parts = list(saliency.products(small_cnn, weights, context(), 100))
    assert len(whole) == len(parts) == 2
    for one, other in zip(whole, parts, strict=True):
        for name in weights:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-4, atol=1e-6)
            assert np.abs(one[name]).max() > 1e-4
