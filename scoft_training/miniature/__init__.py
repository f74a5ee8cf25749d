"""A small trained text-to-image stack and the drawn world that it knows.

`loading.register` makes it known to the rest of the engine, which has no other tie to it.
"""
