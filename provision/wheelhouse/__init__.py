"""What a host needs to run the replicator without an index: wheels for its Python, made and kept on this machine.

Its own wheel is packed from the very code that runs here, the others are fetched in the versions that are installed
here. So a host runs what this machine runs, and the digest of it all is known without asking anybody.
"""

from provision.wheelhouse.bundle import Bundle
from provision.wheelhouse.target import Target

__all__ = ["Bundle", "Target"]
