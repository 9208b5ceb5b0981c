"""The semantic cache: answers by the meaning of their questions, in memory, over a log that instances share."""
