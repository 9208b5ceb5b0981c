"""How each dialect that streams tells the same answer as one document and as events."""
