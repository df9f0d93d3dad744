"""Sequences: carried one way (`oneway`), or kept from handing out one number twice in a swap (`masters`).

Which numbers a master of a swap may hand out is decided in `shares`, without a server.
"""
