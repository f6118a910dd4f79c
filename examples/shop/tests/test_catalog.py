"""The catalogue says what the list of products says, and refuses what cannot be sold."""

import unittest
from pathlib import Path

from shop.catalog import CatalogError, catalog

HEADER = "number,name,price"
LIST = Path(__file__).parent.parent / "catalog" / "products.csv"


class CatalogTest(unittest.TestCase):
    def test_prices_are_kept_in_cents(self) -> None:
        self.assertEqual(catalog([HEADER, "A-1,Pencil,0.80"]), {"A-1": {"name": "Pencil", "cents": 80}})

    def test_a_number_is_used_once(self) -> None:
        with self.assertRaisesRegex(CatalogError, "A-1 is listed twice"):
            catalog([HEADER, "A-1,Pencil,0.80", "A-1,Eraser,0.50"])

    def test_a_price_is_a_positive_amount(self) -> None:
        for price in ("free", "", "-1", "0", "1.005"):
            with self.subTest(price=price), self.assertRaises(CatalogError):
                catalog([HEADER, f"A-1,Pencil,{price}"])

    def test_the_list_of_products_can_be_sold(self) -> None:
        self.assertGreater(len(catalog(LIST.read_text().splitlines())), 0)


if __name__ == "__main__":
    unittest.main()
