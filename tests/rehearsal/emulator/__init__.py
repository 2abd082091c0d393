"""The AWS emulator as the rehearsal runs it, by the emulator's own interpreter: nothing of this project is imported."""
