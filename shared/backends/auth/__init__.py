"""How the gateway shows itself to services that take Entra tokens. Keys are headers and parameters of a `Target`."""
