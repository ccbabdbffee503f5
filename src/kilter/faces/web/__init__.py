"""The dashboard: one file and one template for each page, drawn on the server."""
