"""What the test data centre knows and decides; imports the standard library and itself only."""
