"""What a browser sees: pages rendered on the server, which scripts then keep up to date."""
