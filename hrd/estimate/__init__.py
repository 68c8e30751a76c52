"""From rPPG signal to readings: spectrum, heart rate, confidence."""
