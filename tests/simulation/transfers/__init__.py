"""Transfers in virtual time: the shipped core among models of everything that it talks to."""
