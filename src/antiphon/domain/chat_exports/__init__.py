"""What other chat applications export, translated into one form: a tree of messages."""
