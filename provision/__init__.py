"""Makes hosts what an inventory says: packages, PostgreSQL, databases, replication."""
