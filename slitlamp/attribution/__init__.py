"""Attribution: which pixels a probe's decision rests on, and whether the picture may be believed."""
