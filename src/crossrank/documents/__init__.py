"""What a caller gives as a document, a string or a mapping, and the one text that a model reads of it."""
