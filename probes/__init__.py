"""How it is asked, and how sure one may be."""
