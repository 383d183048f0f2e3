"""Attribution: which pixels an answer rests on, each map with its own trial."""
