"""Networks, uploads and forecasters of the pages, cached."""
