"""What Antiphon does: one class per noun, one method per verb."""
