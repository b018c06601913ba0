"""Tables of labels as labelling tools and spreadsheets write them."""
