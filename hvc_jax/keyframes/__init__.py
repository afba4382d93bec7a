"""Key pictures: picture <-> bytes, by conventional intra codecs."""
