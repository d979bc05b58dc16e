"""Backbones, points, encodings, experts, renderer and losses of MORSE.

Shape alphabet of this room: B images in a batch, C classes (background included), d spatial dimensions, S experts, N
points, F channels of a map, H hidden units, K neighbours. Maps are (B, F, *space). Points are flat: ``image`` (N,)
says which of the B images, ``voxel`` (N, d) where: continuous indices of the array given to the backbone, voxel i's
centre at i, in the order of the array's axes.
"""
