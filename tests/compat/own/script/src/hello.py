"""Fetches a text from an address that has a stand-in."""

from urllib.request import urlopen

print(urlopen("https://samples.invalid/greeting.txt").read().decode())
