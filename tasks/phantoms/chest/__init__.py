"""Chest radiographs of adults and children, with and without a mark."""
