"""Certificates of TLS between nodes: a small authority of an inventory's own, and judging those that are given.

All of it is the package cryptography's work (X.509, EC P-256); here is what a node's certificate has to look like.
Hosts need no openssl: what they get are files.
"""

from provision.certificates.authority import Authority
from provision.certificates.given import given, outlived
from provision.certificates.pairs import Pair
from provision.certificates.reading import end_of

__all__ = ["Authority", "Pair", "end_of", "given", "outlived"]
