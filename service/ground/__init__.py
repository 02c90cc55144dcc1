"""The base map: lines and areas of Natural Earth and names of towns, in cells that the page loads."""
