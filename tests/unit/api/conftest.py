"""A small disk for tests of the facade that fill one up."""

from tests.support.small_disk import small_disk as small_disk
