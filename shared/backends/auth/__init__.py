"""How the gateway shows itself to backends: static headers and query parameters, and Entra tokens of its identity."""
