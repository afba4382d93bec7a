"""The human model: parameters, skinning, cameras, rasterising."""
