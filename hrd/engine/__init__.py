"""From ROI chunks to rPPG signal: the engines, behind one small interface."""
