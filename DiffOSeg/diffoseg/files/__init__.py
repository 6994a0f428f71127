"""Files written whole or not at all, and what is believed of those from outside."""
