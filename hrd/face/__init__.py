"""From a frame to the face's crop: detection, tracking and a crop that keeps still."""
