"""Keeps chosen tables of PostgreSQL databases in agreement: master/slave, whole copies, master/master."""
