"""Operations: the command `scoreboard`, and the whole system on one machine."""
