"""Opens models that Keras 3 wrote: a process of its own reads them, and they are rebuilt in Keras 2 and compared."""
