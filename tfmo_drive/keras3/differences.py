"""Names what Keras 2 cannot say."""


class Differs(ValueError):
    """Raised for a layer that Keras 2 lacks, or that is another there; its message says what."""
