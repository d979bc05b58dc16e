"""Small widgets that the tabs are made of."""
