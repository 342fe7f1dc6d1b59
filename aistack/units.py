"""Constants and conversions, in one place.

``GB`` is bytes, ``GBIT`` is bits. Decimal prefixes are powers of ten, as link and memory vendors count;
``GIB`` is the binary one.
"""

BYTE = 1
BIT = 1 / 8  #: bytes in a bit
KB, MB, GB, TB, PB = 1e3, 1e6, 1e9, 1e12, 1e15  #: bytes
GBIT, TBIT = 1e9 * BIT, 1e12 * BIT  #: bytes in a gigabit, a terabit
KIB, MIB, GIB, TIB = 2.0**10, 2.0**20, 2.0**30, 2.0**40  #: bytes

HOUR, DAY, YEAR = 3600.0, 86_400.0, 365.25 * 86_400.0  #: seconds
HOURS_PER_YEAR = 8766.0  #: hours in a mean year of 365.25 days
KWH = 3.6e6  #: joules
GALLON = 3.785411784e-3  #: cubic metres in a US liquid gallon (exact by definition)
INCH = 2.54e-2  #: metres (exact by definition)
MM2_PER_CM2 = 100.0
