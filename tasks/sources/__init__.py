"""Where images come from: files, tables, volumes, and what is checked of them."""
