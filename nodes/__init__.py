"""The pack's nodes, in the order of the menu. All the work is in `scoft_training`."""
