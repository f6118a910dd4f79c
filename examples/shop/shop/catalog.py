"""Turns the list of products, as people edit it, into the catalogue that the service sells from.

python3 -m shop.catalog catalog/products.csv dist/catalog.json
"""

import csv
import json
import sys
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from pathlib import Path


class CatalogError(ValueError):
    """A product in the list cannot be sold as it stands; the message says which, and why."""


def catalog(lines: Iterable[str]) -> dict[str, dict[str, object]]:
    """The products by their number, prices in cents.

    Args:
        lines: a CSV table with the columns `number`, `name` and `price`, the price in whole units.

    Raises:
        CatalogError: a number is used twice, or a price is not a positive amount of at most two decimals.
    """
    products: dict[str, dict[str, object]] = {}
    for row in csv.DictReader(lines):
        if row["number"] in products:
            raise CatalogError(f"{row['number']} is listed twice")
        products[row["number"]] = {"name": row["name"], "cents": _cents(row["number"], row["price"])}
    return products


def _cents(number: str, price: str) -> int:
    try:
        cents = Decimal(price) * 100
    except InvalidOperation:
        raise CatalogError(f"{number}: {price!r} is not a price") from None
    if cents <= 0 or cents != cents.to_integral_value():
        raise CatalogError(f"{number}: {price!r} is not a positive amount of at most two decimals")
    return int(cents)


def main(source: str, target: str) -> None:
    """Read the list, and write the catalogue as one line of JSON."""
    with Path(source).open(newline="") as lines:
        products = catalog(lines)
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_text(json.dumps(products, sort_keys=True, separators=(",", ":")))
    print(f"{len(products)} products written to {target}")


if __name__ == "__main__":
    main(*sys.argv[1:])
