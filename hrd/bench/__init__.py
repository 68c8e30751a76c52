"""``hrd bench``: how long everything takes on this machine. It measures and judges nothing."""
