"""Imports a whole API Management service from the artifact folder an APIOps extractor wrote."""

from shared.management.importers.apim.apim import Apim

__all__ = ["Apim"]
