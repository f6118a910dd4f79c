"""Checks a deployed environment through the AWS API: what the stacks' outputs name is there, and right.

The pipeline gives APHEX_ENVIRONMENT, and in APHEX_OUTPUTS the path of a JSON file with the outputs of every
environment so far: {environment: {stack: {output: value}}}. Credentials and region are those of the environment.
"""

import json
import os
import sys
import unittest
from pathlib import Path

import boto3

ENVIRONMENT = os.environ["APHEX_ENVIRONMENT"]
OUTPUTS = json.loads(Path(os.environ["APHEX_OUTPUTS"]).read_text())[ENVIRONMENT]
CATALOG = Path(__file__).parent.parent / "dist" / "catalog.json"


class DeploymentTest(unittest.TestCase):
    def setUp(self) -> None:
        self.session = boto3.Session()

    def test_orders_are_kept_in_this_account_and_region(self) -> None:
        table = self.session.client("dynamodb").describe_table(TableName=OUTPUTS["ShopData"]["OrdersTable"])["Table"]
        account = self.session.client("sts").get_caller_identity()["Account"]
        self.assertEqual(table["TableStatus"], "ACTIVE")
        self.assertEqual(table["TableArn"].split(":")[3:5], [self.session.region_name, account])
        self.assertEqual(table["KeySchema"], [{"AttributeName": "order_id", "KeyType": "HASH"}])

    def test_receipts_are_versioned_and_private(self) -> None:
        bucket = OUTPUTS["ShopData"]["ReceiptsBucket"]
        s3 = self.session.client("s3")
        self.assertEqual(s3.get_bucket_versioning(Bucket=bucket)["Status"], "Enabled")
        block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        self.assertTrue(all(block.values()), block)

    def test_orders_can_come_in(self) -> None:
        queue = OUTPUTS["ShopService"]["IncomingQueue"]
        attributes = self.session.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])
        self.assertEqual(attributes["Attributes"]["VisibilityTimeout"], "60")

    def test_the_catalogue_is_the_one_that_was_built(self) -> None:
        name = OUTPUTS["ShopService"]["CatalogParameter"]
        value = self.session.client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
        self.assertEqual(json.loads(value), json.loads(CATALOG.read_text()))

    def test_the_service_works_with_the_table_of_the_data_stack(self) -> None:
        self.assertEqual(OUTPUTS["ShopService"]["TableOfOrders"], OUTPUTS["ShopData"]["OrdersTable"])


if __name__ == "__main__":
    print(f"Checking {ENVIRONMENT}: {', '.join(sorted(OUTPUTS))}", file=sys.stderr)
    unittest.main(verbosity=2)
