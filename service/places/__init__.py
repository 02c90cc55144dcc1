"""Places of the world: search by name, and what a place is near to. Data of GeoNames, made by `service.places.make`."""
