"""ChatGroq's conversational API: an administrator who logs in, sessions kept in memory, one provider."""
