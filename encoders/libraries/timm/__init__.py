"""Models of timm: loading, sites, their files."""
