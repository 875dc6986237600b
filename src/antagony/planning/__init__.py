"""Which study next: candidate trials ranked by how well they would tell the rivals apart."""
