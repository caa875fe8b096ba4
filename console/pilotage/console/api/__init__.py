"""`/api/v1`: routes that hand requests to operations and send back what these return."""
