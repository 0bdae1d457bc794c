"""Port `document_parser`: documents are read in confined processes beside the server."""
