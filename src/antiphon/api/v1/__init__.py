"""OpenAI's wire format and the tree extension; one file per noun."""
