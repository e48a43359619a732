"""What is certified: data sets, images, and the way from a raw image to the model's pixels."""
