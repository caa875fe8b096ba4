"""From batches of a source to typed columns with roles, and the digest that names them."""
